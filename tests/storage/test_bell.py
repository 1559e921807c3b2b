"""Who waits is woken by a ring, and where others write, asks again without one."""

from __future__ import annotations

import threading
import time

from lmaas_server.storage.bell import Bell


def test_without_a_ring_it_is_asked_now_and_at_the_end_alone():
    asked: list[bool] = []
    assert not Bell().wait("job", lambda: bool(asked.append(True)), 0.05)
    assert len(asked) == 2


def test_where_others_write_it_is_asked_again_and_again():
    answers = iter([False, False, True])
    began = time.monotonic()
    assert Bell(ask_every=0.01).wait("job", lambda: next(answers), 30)
    assert time.monotonic() - began < 10


def test_a_ring_wakes_at_once():
    bell, happened = Bell(ask_every=20), threading.Event()

    def ring() -> None:
        while "job" not in repr(bell):
            threading.Event().wait(0.001)
        happened.set()
        bell.ring("job")

    threading.Thread(target=ring).start()
    began = time.monotonic()
    assert bell.wait("job", happened.is_set, 30)
    assert time.monotonic() - began < 10
