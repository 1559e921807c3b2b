"""Texts that are read as they are written: one prompt, pieces, and at the end a prediction like any other.

Knows no HTTP and no model. Who stops reading stops the work; what was written until then is logged, as `cancelled`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lmaas_server.errors import ServiceError
from lmaas_server.records import Json
from lmaas_server.services.answers import Predicted

__all__ = ["Repeated", "Stream", "Streamed", "Text"]


class Text(Protocol):
    """A text that is being written."""

    def read(self, timeout: float | None = None) -> tuple[list[str], bool]:
        """Wait for pieces; return them and whether they are the last."""

    def close(self) -> None:
        """Have no more written."""


class Stream(Protocol):
    """A text on its way to whoever asked."""

    id: str
    model: str
    replayed: bool

    def more(self, timeout: float) -> tuple[str, Predicted | None]:
        """Wait up to `timeout` seconds; return more of the text, and the prediction once there is no more."""

    def close(self) -> None:
        """Stop; a text that has not ended is cancelled."""


@dataclass(slots=True)
class Repeated:
    """An answer that was given before, in one piece."""

    id: str
    model: str
    known: Predicted
    replayed: bool = True

    def more(self, timeout: float) -> tuple[str, Predicted | None]:  # noqa: ARG002 - it is here already
        """Return all there is."""
        return str(self.known.outputs[0].get("text") or ""), self.known

    def close(self) -> None:
        """There is nothing to stop."""


@dataclass(slots=True, kw_only=True)
class Streamed:
    """A text that is being written for this request."""

    id: str
    model: str
    text: Text
    output: Callable[[], Json]
    """Waits for the end of the text and returns the output."""
    answer: Callable[[Json], Predicted]
    """Makes the prediction of it, once."""
    abandon: Callable[[BaseException], None]
    """Forgets a request that failed; is told what broke it."""
    replayed: bool = False
    is_open: bool = True

    def more(self, timeout: float) -> tuple[str, Predicted | None]:
        """Wait up to `timeout` seconds; return more of the text, and the prediction once there is no more.

        Raises:
            ServiceError: The text could not be written.
        """
        try:
            pieces, ended = self.text.read(timeout)
            return "".join(pieces), self._settled() if ended else None
        except BaseException as exc:
            self._give_up(exc)
            raise

    def close(self) -> None:
        """Stop; a text that has not ended is cancelled."""
        if not self.is_open:
            return
        self.text.close()
        try:
            self._settled()
        except ServiceError as exc:
            self._give_up(exc)

    def _settled(self) -> Predicted:
        answer = self.answer(self.output())
        self.is_open = False
        return answer

    def _give_up(self, reason: BaseException) -> None:
        self.is_open = False
        self.abandon(reason)
