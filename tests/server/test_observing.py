"""Observing: nothing is lost or counted twice, whoever reports, reads, writes or breaks meanwhile."""

from __future__ import annotations

import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.records import DeploymentRecord
from lmaas_server.services.figures import Tally, bucket_of, figures_of, seconds_of
from lmaas_server.services.observing import Observer
from lmaas_server.services.totals import Totals
from lmaas_server.storage import Database, Storage


@pytest.fixture
def storage(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'lmaas.db'}")
    database.migrate()
    storage = Storage(database)
    storage.deployments.create(
        DeploymentRecord(
            name="d",
            status="ready",
            variants=({"model": "m@1", "weight": 1.0, "role": "champion"},),
            revision=1,
            batching={},
            metadata={},
            created_at=0.0,
        )
    )
    yield storage
    storage.close()


@pytest.fixture
def observer(storage, clock):
    made = Observer(storage, role=lambda _name, _model: "champion", clock=clock)
    yield made
    made.close()


def report(observer, *, confidence=0.9, seconds=0.001):
    observer.predicted("d", "m@1", role="champion", rows=1, row_errors=0, seconds=seconds, confidences=[confidence])


def test_thousands_of_reports_are_counted_without_anybody_asking(observer):
    for _ in range(1000):
        report(observer)
    observer._count_gently()
    with observer._lock:
        assert observer._ledger.totals["d"].requests == 1000


def test_reports_that_are_counted_together_are_told_apart_by_version_role_and_minute(observer, clock):
    bad, good = {"error": {"code": "shape_mismatch"}}, {"label": 1, "score": 0.5}
    for minute, model, role in [(0, "m@1", "champion"), (0, "m@2", "shadow"), (1, "m@1", "champion")] * 2:
        clock.now += 60 * minute
        observer.answered("d", model, role=role, outputs=[good, bad], seconds=0.001)
        observer.failed("d", model, role=role)
    observer._count()
    spans = {(one.model, one.shadow): [] for one in observer._ledger.records()}
    for one in observer._ledger.records():
        spans[one.model, one.shadow].append((one.requests, one.errors, one.rows, one.row_errors, one.confidence))
    assert spans == {
        ("m@1", False): [(1, 1, 2, 1, 0.5), (2, 2, 4, 2, 1.0), (1, 1, 2, 1, 0.5)],
        ("m@2", True): [(1, 1, 2, 1, 0.5)] * 2,
    }
    assert (observer._ledger.totals["d"].requests, observer._ledger.watch("d", "m@1").requests) == (4, 4)


def test_reports_from_many_threads_are_each_counted_once_while_others_read_and_write(observer):
    def work():
        for _ in range(100):
            report(observer)
            observer.figures("d", since=0)
            observer.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert observer.figures("d", since=0).requests == observer.totals("d").requests == 400


def test_what_could_not_be_written_is_kept_and_written_later(observer, storage, monkeypatch):
    def full(*_args):
        raise OSError("disk full")

    report(observer)
    with monkeypatch.context() as patched:
        patched.setattr(storage.observations, "add", full)
        with pytest.raises(OSError, match="disk full"):
            observer.flush()
    report(observer)
    observer.flush()
    assert [span.requests for span in storage.observations.since("d", 0)] == [2]


def test_a_window_leaves_out_what_was_before_it(observer, clock):
    report(observer)
    clock.now += 120
    report(observer)
    assert observer.figures("d", since=clock.now - 60).requests == 1
    assert observer.figures("d", since=clock.now - 120).requests == 2


def test_an_alarm_is_an_event_and_then_told_to_who_watches(observer, storage):
    told, rng = [], random.Random(0)
    observer.watch(lambda _alarm: 1 / 0)  # whoever breaks takes nobody along
    observer.watch(lambda alarm: told.append((alarm, storage.deployment_events.events("d"))))
    for place in range(400):
        report(observer, confidence=rng.betavariate(30 if place < 300 else 3, 1))
    observer.flush()
    ((alarm, events),) = told
    assert (alarm.signal, alarm.model, events) == ("confidence", "m@1", [alarm.event])
    assert 300 < alarm.at <= 371
    assert alarm.event.data["after"] < alarm.event.data["before"] - 0.1


def test_a_watch_goes_on_where_the_last_server_stopped(observer, storage, clock):
    rng = random.Random(0)
    for _ in range(300):
        report(observer, confidence=rng.betavariate(30, 1))
    observer.close()
    again = Observer(storage, role=lambda _name, _model: "champion", clock=clock)
    for _ in range(100):
        report(again, confidence=rng.betavariate(3, 1))
    again.close()
    (event,) = storage.deployment_events.events("d", type="drift")
    assert 300 < event.data["at"] <= 371


def test_labels_of_a_version_that_was_replaced_are_counted_and_not_watched(storage, clock):
    observer = Observer(storage, role=lambda _name, _model: None, clock=clock)
    for right in [True] * 300 + [False] * 300:
        observer.labelled("d", "m@1", right=right, kind="label", value=1)
    observer.close()
    assert observer.figures("d", since=0).accuracy == 0.5
    assert storage.deployment_events.events("d") == []


def test_a_request_of_many_rows_is_one_number_to_the_watch(observer):
    observer.answered("d", "m@1", role="champion", outputs=[{"score": 0.5}, {"score": 0.7}, {}], seconds=0.1)
    watch = observer.watch_over("d", "m@1")
    assert (watch.confidence.seen, watch.confidence.mean) == (1, pytest.approx(0.6))


def test_minutes_are_condensed_as_time_goes_by(observer, storage, clock):
    for _ in range(30):
        report(observer)
        clock.now += 60
        observer.flush()
    clock.now += 3 * 86_400
    observer._condense()
    assert sum(span.requests for span in storage.observations.since("d", 0)) == 30
    assert len(storage.observations.since("d", 0)) <= 2
    clock.now += 90 * 86_400
    observer._condense()
    assert storage.observations.since("d", 0) == []


@given(st.floats(1e-5, 1000))
def test_a_latency_is_in_a_bucket_that_reaches_down_by_nine_per_cent(seconds):
    top = seconds_of(bucket_of(seconds))
    assert top / 1.0906 <= seconds <= top * 1.000001


@given(st.lists(st.floats(2e-5, 100), min_size=1, max_size=200), st.integers(0, 200))
def test_quantiles_of_merged_spans_are_within_five_per_cent(latencies, cut):
    tallies = []
    for part in (latencies[:cut], latencies[cut:]):
        tally = Tally()
        for seconds in part:
            tally.predicted(Totals(requests=1, rows=1, seconds=seconds, latency={bucket_of(seconds): 1}))
        tallies.append(tally.record("d", "m@1", shadow=False, begin=0))
    figures = figures_of(tallies)
    for share, told in ((0.5, figures.p50_ms), (0.95, figures.p95_ms), (0.99, figures.p99_ms)):
        exact = sorted(latencies)[max(0, -int(-share * len(latencies) // 1) - 1)] * 1000
        assert told == pytest.approx(exact, rel=0.05)


def test_what_was_reported_is_written_without_being_asked_for(observer, storage):
    report(observer)
    end, pause = time.monotonic() + 20, threading.Event()
    while not storage.observations.since("d", 0):
        assert time.monotonic() < end, "it was not written"
        pause.wait(0.02)


def test_who_reports_waits_for_nobody_who_reads_or_writes(observer):
    report(observer)  # the first starts the thread
    with observer._lock:
        thread = threading.Thread(target=report, args=(observer,))
        thread.start()
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_what_is_retracted_is_taken_out_of_the_minute_or_hour_in_which_it_was_counted(observer, clock):
    began, item = clock.now, {"right": True, "kind": "label", "value": 1}
    for _ in range(3):
        observer.labelled("d", "m@1", **item)
    observer.flush()
    clock.now += 600
    observer.retracted("d", "m@1", **item, created_at=began)
    assert observer.figures("d", since=began).labelled == 2
    assert observer.figures("d", since=clock.now).labelled == 0
    clock.now += 3 * 86_400
    observer.flush()
    observer._condense()
    observer.retracted("d", "m@1", **item, created_at=began)
    assert observer.figures("d", since=began - 3600).feedback == {"label": 1}
