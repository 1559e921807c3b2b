"""The head of a request as it comes over the wire, read strictly. Knows no socket and no route.

RFC 9112: https://www.rfc-editor.org/rfc/rfc9112. What servers disagree about is refused, so that no request hides in
another one: lines that end in anything but CR LF, blanks before a colon, a length that is not one number, a length
beside `Transfer-Encoding`, and any such encoding but `chunked`. A field with an underscore in its name is passed over:
to WSGI it would be the one with a hyphen.
"""

from __future__ import annotations

import functools
import io
import re
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

__all__ = ["MOST_HEAD", "Address", "BadHeadError", "Head", "head_of"]

MOST_HEAD = 1 << 16
"""Bytes that a head may have."""
_MOST_FIELDS = 200
_MAX_DIGITS = 18
_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class BadHeadError(Exception):
    """A head that is no request of HTTP/1.1; `status` is the answer to it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Both ends of a connection, as WSGI names them."""

    server: str
    port: str
    client: str


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, eq=False)
class Head:
    """The head of a request."""

    method: str
    path: str
    """Decoded; bytes that are no ASCII stand for themselves, one to a character, as PEP 3333 has them."""
    query: str
    version: str
    """`1.1` or `1.0`."""
    variables: dict[str, str]
    """The fields as WSGI names them; those of one name are joined."""
    length: int | None = None
    """Bytes of the body; None where they are not announced: of a chunked one, or where there is none."""
    chunked: bool = False
    keeps: bool = True
    """The connection may go on after it."""

    @property
    def has_body(self) -> bool:
        """Whether anything is to come."""
        return self.chunked or bool(self.length)

    def environ(self, address: Address, body: io.IOBase) -> dict[str, Any]:
        """Return the request as PEP 3333 wants it."""
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": address.server,
            "SERVER_PORT": address.port,
            "SERVER_PROTOCOL": f"HTTP/{self.version}",
            "REMOTE_ADDR": address.client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            # Whoever reads to the end gets what was sent, however it was framed.
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **self.variables,
        }


def head_of(raw: bytes) -> Head:
    """Read a head, without the empty line at its end.

    Raises:
        BadHeadError: It is none; nothing that comes after it on the connection can be told apart.
    """
    lines = raw.decode("latin-1").split("\r\n")
    plain = "".join(lines)
    if not (plain.isascii() and plain.isprintable()) and _CONTROL.search(plain) is not None:
        raise BadHeadError(400, "a control character stands in the head")
    if (found := _REQUEST.fullmatch(lines[0])) is None:
        raise BadHeadError(400, "the first line is no request of HTTP/1.1")
    if len(lines) > _MOST_FIELDS:
        raise BadHeadError(431, f"the head has more than {_MOST_FIELDS} fields")
    method, target, minor = found.groups()
    variables: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        variable = _variable(name)
        if variable is None or not colon:
            raise BadHeadError(400, "a line of the head is no field")
        if not variable:
            continue
        value = value.strip(" \t")
        known = variables.get(variable)
        variables[variable] = value if known is None else f"{known},{value}"
    path, query = _parts(target)
    head = Head(method, path, query, f"1.{minor}", variables)
    _frame(head)
    return head


@functools.lru_cache(maxsize=256)
def _variable(field: str) -> str | None:
    """Return the name that WSGI gives a field; none where another one has it, and None of what is no name."""
    if _TOKEN.fullmatch(field) is None:
        return None
    if "_" in field:
        return ""
    name = field.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"


def _parts(target: str) -> tuple[str, str]:
    """Return the path, decoded, and the query of a target."""
    if not target.startswith("/"):
        if (found := _ABSOLUTE.match(target)) is None and target != "*":
            raise BadHeadError(400, "the target is no path")
        target = target[found.end() :] if found is not None else target
    path, _, query = target.partition("?")
    if "%" in path:
        path = unquote_to_bytes(path).decode("latin-1")
    return path or "/", query


def _frame(head: Head) -> None:
    """Find out how long the body is, and whether the connection goes on."""
    variables = head.variables
    length, encoding = variables.get("CONTENT_LENGTH"), variables.get("HTTP_TRANSFER_ENCODING")
    if encoding is not None:
        if length is not None or head.version == "1.0":
            raise BadHeadError(400, "a body has one length")
        if encoding.lower() != "chunked":
            raise BadHeadError(501, "bodies come plain or chunked")
        head.chunked = True
    elif length is not None:
        if not (length.isdecimal() and length.isascii() and len(length) <= _MAX_DIGITS):
            raise BadHeadError(400, "the length of the body is no number")
        head.length = int(length)
    if "," in variables.get("HTTP_HOST", "," if head.version == "1.1" else ""):
        raise BadHeadError(400, "a request names one host")
    said = variables.get("HTTP_CONNECTION")
    if said is not None or head.version == "1.0":
        words = {word.strip() for word in (said or "").lower().split(",")}
        head.keeps = "close" not in words and (head.version == "1.1" or "keep-alive" in words)
