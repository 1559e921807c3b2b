"""The id that names a request in the log and in its answer. Knows no request."""

from __future__ import annotations

import re

from lmaas_server.chance import random_hex

__all__ = ["request_id_of"]

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def request_id_of(given: str | None) -> str:
    """Return the id that the request's header `X-Request-Id` gives, if it may stand in a log; else a new one."""
    return given if given and _SANE_ID.fullmatch(given) else f"req-{random_hex()}"
