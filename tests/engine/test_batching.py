"""Rows of several callers are computed together, in the order they came, and nobody suffers for another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.serving.batching import Batcher, Limits, _Caller
from lmaas_server.engine.serving.costs import Costs
from lmaas_server.errors import UnavailableError

DEADLINE_SECONDS = 20.0
POISON = -1.0


def limits(**given) -> Limits:
    return Limits(**{"max_rows": 64, "max_delay": 0.0, **given})


def rows(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


class Network:
    """Doubles rows; holds the first batch until `open` is set; breaks on poison; remembers its batches."""

    def __init__(self, *, held: bool = False) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[float]] = []
        if not held:
            self.open.set()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.batches.append(batch[:, 0].tolist())
        self.entered.set()
        assert self.open.wait(DEADLINE_SECONDS)
        if POISON in batch:
            raise ArithmeticError("poison")
        return batch * 2


def until(true) -> None:
    end, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while not true():
        assert time.monotonic() < end
        pause.wait(0.001)


@contextmanager
def standing(batcher: Batcher, network: Network, *callers: np.ndarray):
    """The first of `callers` computes and is held, the others stand in line in their order."""
    with ThreadPoolExecutor(len(callers)) as pool:
        futures = [pool.submit(batcher.run, network, callers[0])]
        assert network.entered.wait(DEADLINE_SECONDS)
        for place, caller in enumerate(callers[1:], start=1):
            futures.append(pool.submit(batcher.run, network, caller))
            until(lambda place=place: len(batcher._line) == place)
        try:
            yield futures
        finally:
            network.open.set()


def test_who_is_alone_is_computed_in_its_own_thread():
    threads = []
    batcher = Batcher(limits())
    batcher.run(lambda batch: threads.append(threading.get_ident()) or batch, rows(1))
    assert threads == [threading.get_ident()]


def test_who_comes_while_another_computes_is_computed_with_the_others_in_line():
    batcher, network = Batcher(limits()), Network(held=True)
    with standing(batcher, network, rows(1), rows(2), rows(3, 4), rows(5)) as futures:
        network.open.set()
        found = [future.result()[:, 0].tolist() for future in futures]
    assert found == [[2], [4], [6, 8], [10]]
    assert network.batches == [[1], [2, 3, 4, 5]]


def test_a_batch_takes_no_more_rows_than_the_deployment_says():
    batcher, network = Batcher(limits(max_rows=2)), Network(held=True)
    with standing(batcher, network, *(rows(value) for value in range(1, 6))) as futures:
        network.open.set()
        [future.result() for future in futures]
    assert network.batches == [[1], [2, 3], [4, 5]]


def test_a_poisoned_request_fails_alone():
    batcher, network = Batcher(limits()), Network(held=True)
    with standing(batcher, network, rows(1), rows(2), rows(POISON), rows(3), rows(4)) as futures:
        network.open.set()
        with pytest.raises(ArithmeticError, match="poison"):
            futures[2].result()
        assert [future.result()[0, 0] for future in futures[:2] + futures[3:]] == [2, 4, 6, 8]


def test_a_full_line_refuses_the_next_and_says_when_to_come_again():
    batcher, network = Batcher(limits(max_callers=1)), Network(held=True)
    with standing(batcher, network, rows(1), rows(2)), pytest.raises(UnavailableError) as refused:
        batcher.run(network, rows(3))
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after > 0


def test_a_line_that_would_take_too_long_refuses_whoever_comes_next():
    batcher, network = Batcher(limits(max_wait=5.0)), Network(held=True)
    batcher.costs.add(1, 2.0)  # two seconds a row
    with standing(batcher, network, rows(1), rows(2)), pytest.raises(UnavailableError) as refused:
        batcher.run(network, rows(3, 4))
    assert refused.value.retry_after == pytest.approx(6.0)


def test_nothing_is_computed_for_who_has_left_the_line():
    batcher, network = Batcher(limits(max_wait=0.01)), Network(held=True)
    with standing(batcher, network, rows(1)) as futures:
        with pytest.raises(UnavailableError):
            batcher.run(network, rows(2))
        network.open.set()
        futures[0].result()
    assert network.batches == [[1]]


def test_a_failure_leaves_the_line_open_for_the_next():
    batcher = Batcher(limits())
    with pytest.raises(ArithmeticError):
        batcher.run(Network(), rows(POISON))
    assert batcher.run(Network(), rows(1)).tolist() == [[2]]


def test_rows_of_different_shapes_never_meet():
    batcher, network = Batcher(limits()), Network(held=True)
    wide = np.ones((1, 3), dtype=np.float32)
    with standing(batcher, network, rows(1), rows(2), wide, rows(3)) as futures:
        network.open.set()
        assert futures[2].result().shape == (1, 3)
        assert futures[3].result().tolist() == [[6]]


def test_answers_that_are_not_one_a_row_are_an_error_and_not_somebody_elses():
    with pytest.raises(ValueError, match="2 rows were computed and 1 answers came"):
        Batcher(limits()).run(lambda batch: batch[:1], rows(1, 2))


class Arrivals:
    """A clock that stands still, and a wait in which somebody may come."""

    def __init__(self) -> None:
        self.now, self.waits, self.came = 0.0, [], []

    def __call__(self) -> float:
        return self.now

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        self.waits.append(seconds)
        if self.came:
            self.now += 0.001
            self.batcher._join(self.came.pop(0))
        else:
            self.now += seconds

    def batcher_of(self, *, fixed: float, gap: float, **bounds) -> Batcher:
        self.batcher = Batcher(limits(**bounds), clock=self, wait=self.wait)
        self.batcher.costs.add(1, fixed + 0.001)
        self.batcher.costs.add(2, fixed + 0.002)
        self.batcher._gap = gap
        return self.batcher


def test_a_batch_is_held_open_where_the_next_row_is_due_before_another_batch_would_pay():
    arrivals, network = Arrivals(), Network()
    batcher = arrivals.batcher_of(fixed=0.05, gap=0.01, max_delay=0.02)
    arrivals.came = [_Caller(rows(2))]
    batcher.run(network, rows(1))
    assert network.batches == [[1, 2]]
    assert arrivals.waits == pytest.approx([0.02, 0.019])  # and no longer than the deployment allows


@pytest.mark.parametrize("case", [{"fixed": 0.001, "gap": 0.01}, {"fixed": 0.05, "gap": 1.0}])
def test_nobody_is_held_up_where_computing_at_once_is_cheaper(case):
    arrivals = Arrivals()
    arrivals.batcher_of(max_delay=0.02, **case).run(Network(), rows(1))
    assert arrivals.waits == []


def test_a_deployment_without_delay_never_waits():
    arrivals = Arrivals()
    arrivals.batcher_of(fixed=0.05, gap=0.01, max_delay=0.0).run(Network(), rows(1))
    assert arrivals.waits == []


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=40))
def test_halving_fails_exactly_the_poisoned_and_answers_all_others(callers):
    batch = [_Caller(rows(*([POISON if bad else place] * size))) for place, (size, bad) in enumerate(callers)]
    Batcher(limits())._serve(Network(), batch)
    for caller, (_, bad) in zip(batch, callers, strict=True):
        assert (caller.error is not None) == bad
        assert bad or (caller.found == caller.rows * 2).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 16))
def test_callers_are_served_in_the_order_they_came_whatever_their_sizes(sizes, most):
    batcher = Batcher(limits(max_rows=most))
    line = [_Caller(rows(*([place] * size))) for place, size in enumerate(sizes)]
    for caller in line:
        batcher._join(caller)
    served = []
    while batcher._line:
        batch = [batcher._line.popleft()]
        batcher._rows_in_line -= len(batch[0].rows)
        total = batcher._take(batch, len(batch[0].rows))
        assert total <= most or len(batch) == 1
        served += batch
    assert served == line
    assert batcher._rows_in_line == 0


@given(st.floats(0, 1), st.floats(0, 0.1), st.lists(st.integers(1, 64), min_size=2, max_size=30, unique=True))
def test_costs_find_what_a_batch_takes_beside_its_rows(fixed, per_row, sizes):
    costs = Costs()
    for size in sizes:
        costs.add(size, fixed + per_row * size)
    assert costs.fixed == pytest.approx(fixed, abs=1e-6)
    assert costs.of(10, batches=3) == pytest.approx(3 * fixed + 10 * per_row, abs=1e-4)


def test_costs_of_one_size_alone_blame_the_rows():
    costs = Costs()
    costs.add(4, 0.4)
    assert costs.of(8) == pytest.approx(0.8)
    assert costs.fixed is None
