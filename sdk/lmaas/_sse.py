"""Server-sent events: bytes in, events out, however the bytes were cut. Knows no transport and no meaning.

Follows the event stream interpretation of the HTML standard (section 9.2.6), bytes of an unfinished event at the
end of the stream being dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its type (`message` where the server gave none), data, and the last id seen so far."""

    data: str
    event: str = "message"
    id: str | None = None


class EventDecoder:
    """Collects bytes and gives the events they complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None

    def __repr__(self) -> str:
        return f"<EventDecoder last id {self._id!r}, {len(self._rest)} bytes pending>"

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes and return the events that are now whole."""
        buffer = self._rest + chunk
        if not self._begun:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._begun = True
            buffer = buffer.removeprefix(_BOM)
        # A final \r may be the first half of \r\n: it ends its line only once the next byte is here.
        held = buffer[-1:] if buffer.endswith(b"\r") else b""
        *lines, rest = _LINE_END.split(buffer[: len(buffer) - len(held)])
        self._rest = rest + held
        return [event for line in lines if (event := self._line(line.decode("utf-8", "replace"))) is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None  # comments (an empty name), `retry` and unknown fields say nothing here

    def _dispatch(self) -> ServerEvent | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return ServerEvent("\n".join(data), event or "message", self._id) if data else None
