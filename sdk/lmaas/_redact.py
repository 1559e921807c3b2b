"""Takes secrets out of headers and URLs before anything remembers or shows them; knows no logging and no errors."""

from __future__ import annotations

import re
from collections.abc import Mapping

REDACTED = "<redacted>"
_SECRET_NAMES = re.compile(r"auth|cookie|token|secret|api-?key|password|credential", re.IGNORECASE)
_SAFE_NAMES = frozenset({"idempotency-key"})
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_QUERY = re.compile(r"([?&][^=&]*(?:token|secret|key|password|signature)[^=&]*=)[^&]*", re.IGNORECASE)


def redacted_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with the value of everything that may be a secret replaced."""
    return {
        name: REDACTED if _SECRET_NAMES.search(name) and name.lower() not in _SAFE_NAMES else value
        for name, value in headers.items()
    }


def redacted_url(url: str) -> str:
    """Return the URL without user, password and secret-looking query values."""
    return _SECRET_QUERY.sub(rf"\1{REDACTED}", _USERINFO.sub("", url))
