"""Who is asking: bearer keys compared in constant time. Knows no route and keeps no key in the clear."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable

from lmaas_server.errors import UnauthenticatedError

__all__ = ["ANYBODY", "ApiKeys", "is_loopback"]

ANYBODY = "anybody"
"""The caller on a server without keys."""


class ApiKeys:
    """The keys a server accepts; without any, everybody is welcome."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"

    def caller_of(self, authorization: str | None) -> str:
        """Return a short id of the key in an `Authorization` header, never the key itself.

        Raises:
            UnauthenticatedError: There is no key, or none that is known.
        """
        if not self._digests:
            return ANYBODY
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            message = "This server wants a key: send the header `Authorization: Bearer KEY` (LMAAS_API_KEY in the SDK)."
            raise UnauthenticatedError(message, code="api_key_missing")
        digest = _digest(key.strip())
        # Every key is compared, so that the time tells nothing about which came close.
        known = [hmac.compare_digest(digest, candidate) for candidate in self._digests]
        if not any(known):
            message = "This key is not one the server knows; look for a typing error or a key of another server."
            raise UnauthenticatedError(message, code="api_key_unknown")
        return digest.hex()[:16]


def is_loopback(host: str) -> bool:
    """Tell whether a bind address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
