"""Texts written together: one step reads one token of every text under way, and between steps texts join and leave.

Knows tokens and a network, and no HTTP. One thread computes while there is something to write and ends soon after.
"""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.serving.decoding import Decoder
from lmaas_server.engine.serving.memory import Memory
from lmaas_server.engine.serving.sampling import Sampling, choose, log_chances
from lmaas_server.engine.serving.writing import Chance, Writing
from lmaas_server.errors import InvalidError, UnavailableError

logger = logging.getLogger("lmaas_server")

MAX_TOGETHER = 64
"""Texts of one step; more wait their turn."""
MAX_WAITING = 4096
_IDLE_SECONDS = 5.0
_STOP_SECONDS = 2.0


class Generator:
    """Writes texts with one network; any number of threads may ask."""

    def __init__(self, decoder: Decoder, tokens: Tokens, *, context: int) -> None:
        self._decoder = decoder
        self._tokens = tokens
        self.context = context
        self._changed = threading.Condition()
        self._waiting: deque[Writing] = deque()
        self._parked: list[tuple[Writing, Memory]] = []
        self._active: list[Writing] = []
        self._memory: Memory | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.steps = 0
        """Steps computed so far."""

    def __repr__(self) -> str:
        return f"Generator({len(self._active)} under way, {len(self._waiting)} waiting, {len(self._parked)} parked)"

    def begin(self, prompt: Sequence[int], sampling: Sampling, *, bound: int | None = None) -> Writing:
        """Begin a text and return at once; `bound` pieces at most wait for a reader, None where nobody reads pieces.

        Raises:
            InvalidError: `prompt_too_long`: the prompt leaves no room for an answer.
            UnavailableError: `generation_full`: too many texts wait already.
        """
        if len(prompt) >= self.context:
            raise InvalidError(
                f"the prompt has {len(prompt):,} tokens and the model's context is {self.context:,}, which prompt and "
                "answer share; shorten the prompt",
                code="prompt_too_long",
            )
        writing = Writing(prompt, sampling, self._tokens.stream(prompt), bound=bound, wake=self._wake)
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                raise UnavailableError("Too many texts wait to be written; try again.", code="generation_full")
            self._waiting.append(writing)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="generator", daemon=True)
                _running.add(self)
                self._thread.start()
            self._changed.notify_all()
        return writing

    def stop(self) -> None:
        """End the thread after the step under way; texts that were not finished stay so."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    @torch.inference_mode()
    def _run(self) -> None:
        while self._has_work():
            try:
                self._step()
            except Exception as exc:
                logger.exception("texts could not be written")
                self._fail(exc)

    def _has_work(self) -> bool:
        """Wait for something to do; False when there was nothing for a while and this thread is to end."""
        with self._changed:
            found = self._changed.wait_for(self._can_step, _IDLE_SECONDS if not self._parked else None)
            if found and not self._stopping:
                return True
            self._thread = None
        if self._stopping:
            self._fail(UnavailableError("The server is stopping.", code="draining"))
        return False

    def _can_step(self) -> bool:
        if self._stopping or self._active or self._waiting:
            return True
        return any(writing.is_closed or not writing.is_full for writing, _ in self._parked)

    def _step(self) -> None:
        self._drop_closed()
        self._park()
        self._unpark()
        self._admit()
        if self._memory is None or not self._active:
            return
        tokens = torch.tensor([[writing.tokens[-1]] for writing in self._active])  # (rows, 1)
        self._write(self._active, self._decoder.read(self._memory, tokens))
        self.steps += 1
        self._keep([not writing.ended for writing in self._active])

    def _admit(self) -> None:
        """Read the prompts of those who wait and write their first tokens."""
        while True:
            with self._changed:
                if not self._waiting or len(self._active) >= MAX_TOGETHER:
                    return
                writing = self._waiting.popleft()
            if writing.is_closed:
                writing.end("cancelled")
                continue
            memory = Memory(self._decoder.layout, 1, len(writing.prompt) + writing.sampling.max_tokens)
            try:
                scores = self._decoder.read(memory, torch.tensor([writing.prompt]))
                self._write([writing], scores)
            except Exception as exc:  # noqa: BLE001 - its reader is told; the others go on
                writing.fail(exc)
            if not writing.ended:
                self._join(writing, memory)

    def _write(self, writings: Sequence[Writing], scores: Tensor) -> None:
        """Choose a token for each text by scores of (rows, vocabulary), and write it down."""
        chosen = choose(scores, [(writing.sampling, writing.random) for writing in writings])
        for row, (writing, token) in enumerate(zip(writings, chosen, strict=True)):
            if token in self._tokens.ends:
                writing.end("stop")
                continue
            chance = None
            if writing.sampling.logprobs is not None:
                chance = Chance(token, *log_chances(scores[row], token, writing.sampling.logprobs))
            try:
                writing.add(token, chance)
            except Exception as exc:  # its own reader is told; the others go on
                logger.exception("a text could not be written")
                writing.fail(exc)

    def _join(self, writing: Writing, memory: Memory) -> None:
        if self._memory is None or not self._active:
            self._memory = memory
        else:
            self._memory.join(memory)
        self._active.append(writing)

    def _drop_closed(self) -> None:
        for writing in self._active:
            if writing.is_closed and not writing.ended:
                writing.end("cancelled")
        self._keep([not writing.ended for writing in self._active])
        for writing, _ in self._parked:
            if writing.is_closed:
                writing.end("cancelled")
        self._parked = [(writing, memory) for writing, memory in self._parked if not writing.ended]

    def _park(self) -> None:
        """Set aside the texts whose readers are behind."""
        full = [writing.is_full for writing in self._active]
        if self._memory is not None and any(full):
            self._parked += [
                (writing, self._memory.taken(row)) for row, writing in enumerate(self._active) if full[row]
            ]
            self._keep([not stop for stop in full])

    def _unpark(self) -> None:
        ready = [(writing, memory) for writing, memory in self._parked if not writing.is_full]
        self._parked = [(writing, memory) for writing, memory in self._parked if writing.is_full]
        for writing, memory in ready:
            self._join(writing, memory)

    def _keep(self, staying: Sequence[bool]) -> None:
        if all(staying) or self._memory is None:
            return
        rows = [row for row, stays in enumerate(staying) if stays]
        self._active = [self._active[row] for row in rows]
        if rows:
            self._memory.keep(rows)
        else:
            self._memory = None

    def _fail(self, error: Exception) -> None:
        with self._changed:
            lost = [*self._active, *self._waiting, *(writing for writing, _ in self._parked)]
            self._active, self._memory, self._parked = [], None, []
            self._waiting.clear()
        for writing in lost:
            writing.fail(error)


_running: weakref.WeakSet[Generator] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """A thread that is inside torch when the interpreter goes takes the process down with it."""
    for generator in list(_running):
        generator.stop()
