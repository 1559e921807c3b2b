"""One text under way: what was asked, what is written so far, and whoever reads it. Knows no network.

A reader that is slow fills its own few pieces and makes its own text wait; nobody else's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from lmaas_server.engine.data.tokens import TextStream
from lmaas_server.engine.serving.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Chance:
    """A token that was written, its log-probability, and the likeliest in its place with theirs."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


class Writing:
    """A text as it is being written: `read` by one thread, added to by another."""

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        stream: TextStream,
        *,
        bound: int | None,
        wake: Callable[[], None],
    ) -> None:
        """Begin a text after `prompt`.

        At most `bound` pieces wait for the reader (None: nobody reads pieces); `wake` is called when it took some.
        """
        self.prompt = list(prompt)
        self.sampling = sampling
        self.random = Random(sampling.seed)  # noqa: S311 - draws words, not keys
        self.tokens: list[int] = []
        self.chances: list[Chance] = []
        self.finish_reason: str | None = None
        self.error: BaseException | None = None
        self._stream = stream
        self._bound = bound
        self._wake = wake
        self._changed = threading.Condition()
        self._pieces: deque[str] = deque()
        self._text: list[str] = []
        self._held = ""
        self._closed = False

    def __repr__(self) -> str:
        return f"Writing({len(self.prompt)} + {len(self.tokens)} tokens, {self.finish_reason or 'under way'})"

    def __iter__(self) -> Iterator[str]:
        ended = False
        while not ended:
            pieces, ended = self.read()
            yield from pieces

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(self._text)

    @property
    def ended(self) -> bool:
        """Whether nothing will be added."""
        return self.finish_reason is not None or self.error is not None

    @property
    def is_full(self) -> bool:
        """Whether the reader must read before more is written."""
        return self._bound is not None and len(self._pieces) >= self._bound

    @property
    def is_closed(self) -> bool:
        """Whether nobody reads any more."""
        return self._closed

    def read(self, timeout: float | None = None) -> tuple[list[str], bool]:
        """Wait for pieces; return them and whether they are the last.

        Raises:
            Exception: what kept the text from being written.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self.ended, timeout)
            pieces = list(self._pieces)
            self._pieces.clear()
            if self.error is not None:
                raise self.error
            ended = self.ended
        if pieces:
            self._wake()
        return pieces, ended

    def wait(self) -> str:
        """Wait for the end and return the text."""
        with self._changed:
            self._changed.wait_for(lambda: self.ended)
        if self.error is not None:
            raise self.error
        return self.text

    def close(self) -> None:
        """Read no more: the work on it stops with the step under way."""
        self._closed = True
        self._wake()

    def add(self, token: int, chance: Chance | None) -> None:
        """Write a token; a stop string ends the text before it."""
        self.tokens.append(token)
        if chance is not None:
            self.chances.append(chance)
        self._held += self._stream.push(token)
        found = [at for stop in self.sampling.stop if (at := self._held.find(stop)) >= 0]
        if found:
            self._held = self._held[: min(found)]
            self.end("stop")
            return
        certain = len(self._held) - _beginning(self._held, self.sampling.stop)
        self._say(self._held[:certain])
        self._held = self._held[certain:]
        if len(self.tokens) >= self.sampling.max_tokens:
            self.end("length")

    def end(self, reason: str) -> None:
        """End the text."""
        self._say(self._held)
        self._held = ""
        with self._changed:
            self.finish_reason = reason
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Tell the reader that no more will come, and why."""
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def _say(self, piece: str) -> None:
        if not piece:
            return
        with self._changed:
            self._text.append(piece)
            if self._bound is not None:
                self._pieces.append(piece)
            self._changed.notify_all()


def _beginning(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of a stop string."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest
