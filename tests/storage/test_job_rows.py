"""Job rows: one status after the other, each in the diary."""

from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import CheckpointRecord, JobRecord
from lmaas_server.storage import Database, Storage
from lmaas_server.storage.diary import Entry
from lmaas_server.storage.jobs import ENDED


def test_adding_a_job_twice_keeps_the_first(storage, a_job):
    first = a_job(request={"n": 1})
    assert storage.jobs.add(first) == (first, True)
    assert storage.jobs.add(a_job(request={"n": 2})) == (first, False)
    assert [event.message for event in storage.jobs.events("job-1")] == ["Queued."]


def test_jobs_are_claimed_in_the_order_they_came(storage, a_job):
    for number in (3, 1, 2):
        storage.jobs.add(a_job(number))
    assert [storage.jobs.claim_next(5.0).id for _ in range(3)] == ["job-3", "job-1", "job-2"]
    assert storage.jobs.claim_next(5.0) is None


def test_a_job_is_claimed_once_by_many_who_try(storage, a_job):
    for number in range(5):
        storage.jobs.add(a_job(number))
    claimed = []
    threads = [threading.Thread(target=lambda: claimed.append(storage.jobs.claim_next(1.0))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.id for job in claimed if job) == [f"job-{number}" for number in range(5)]


def test_of_two_ends_the_first_stands(storage, a_job):
    storage.jobs.add(a_job())
    storage.jobs.claim_next(1.0)
    assert storage.jobs.move("job-1", to="succeeded", of=["running"], now=2.0, message="Done.").status == "succeeded"
    assert storage.jobs.move("job-1", to="cancelled", of=["running"], now=2.0, message="Cancelled.") is None
    assert storage.jobs.get("job-1").status == "succeeded"


def test_a_cancellation_outweighs_a_pause_and_a_sealed_job_takes_no_wish(storage, a_job):
    storage.jobs.add(a_job())
    storage.jobs.claim_next(1.0)
    assert storage.jobs.ask("job-1", "cancel").wanted == "cancel"
    assert storage.jobs.ask("job-1", "pause").wanted == "cancel"
    assert not storage.jobs.seal("job-1")
    storage.jobs.update("job-1", wanted=None)
    assert storage.jobs.seal("job-1")
    assert storage.jobs.ask("job-1", "cancel") is None


def test_a_second_open_update_of_a_deployment_is_a_conflict_that_names_the_first(storage, a_job):
    storage.jobs.add(a_job(1, type="update", deployment="reader"))
    with pytest.raises(ConflictError, match=r"'reader'.*job-1 \(queued\)") as caught:
        storage.jobs.add(a_job(2, type="update", deployment="reader"))
    assert caught.value.code == "update_in_progress"
    storage.jobs.add(a_job(3, type="update", deployment="writer"))
    storage.jobs.move("job-1", to="cancelled", of=["queued"], now=1.0, message="Cancelled.")
    assert storage.jobs.add(a_job(4, type="update", deployment="reader"))[1]


def test_events_written_by_many_threads_are_numbered_without_gaps(storage, a_job):
    storage.jobs.add(a_job())

    def write():
        for _ in range(10):
            storage.jobs.append_events("job-1", [Entry(type="message", message="x", created_at=1.0)] * 2)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.seq for event in storage.jobs.events("job-1")] == list(range(1, 82))


def test_an_event_is_found_by_its_id_and_another_jobs_is_not(storage, a_job):
    storage.jobs.add(a_job(1))
    storage.jobs.add(a_job(2))
    assert storage.jobs.event_seq("job-1", "evt-1-1") == 1
    for wrong in ("evt-2-1", "evt-1-2", "evt-1-0", "evt-1-", "", "evt-1-01", "evt-1-١"):  # noqa: RUF001
        with pytest.raises(MissingError):
            storage.jobs.event_seq("job-1", wrong)


def test_who_waits_for_events_is_woken_by_the_next(storage, a_job):
    storage.jobs.add(a_job())
    found = []
    waiting = threading.Thread(
        target=lambda: found.extend(storage.jobs.wait_for_events("job-1", after_seq=1, timeout=30))
    )
    waiting.start()
    storage.jobs.append_events("job-1", [Entry(type="message", message="news", created_at=1.0)])
    waiting.join(10)
    assert [event.message for event in found] == ["news"]


def test_nobody_waits_longer_than_the_timeout(storage, a_job):
    storage.jobs.add(a_job())
    assert storage.jobs.wait_for_events("job-1", after_seq=1, timeout=0.01) == []
    assert repr(storage.jobs.bell) == "Bell(waiting=[])"


def test_a_checkpoint_of_a_step_is_stored_once_and_the_newest_comes_first(storage, a_job):
    storage.jobs.add(a_job())
    for step in (10, 20, 10):
        storage.jobs.add_checkpoint(
            CheckpointRecord(id=f"ckpt-1-{step}", job="job-1", step=step, epoch=1, metrics={}, bytes=9, created_at=1.0)
        )
    assert [checkpoint.step for checkpoint in storage.jobs.checkpoints("job-1")] == [20, 10]


@pytest.mark.parametrize(("wanted", "status"), [(None, "queued"), ("cancel", "cancelled"), ("pause", "paused")])
def test_a_job_that_ran_when_the_server_died_is_queued_again_or_granted_its_wish(storage, a_job, wanted, status):
    storage.jobs.add(a_job())
    storage.jobs.claim_next(1.0)
    storage.jobs.update("job-1", wanted=wanted)
    assert [job.status for job in storage.jobs.requeue_orphans(2.0)] == [status]
    assert storage.jobs.get("job-1").attempt == 0 or status == "cancelled"


def test_a_status_cannot_be_set_past_the_diary(storage):
    with pytest.raises(ValueError, match="move"):
        storage.jobs.update("job-1", status="succeeded")


class Life(RuleBasedStateMachine):
    """Whatever is asked of a job in whatever order, its diary tells one life."""

    def __init__(self):
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{self.folder.name}/lmaas.db")
        self.database.migrate()
        self.jobs = Storage(self.database).jobs
        self.jobs.add(JobRecord(id="job-1", type="training", status="queued", created_at=0.0, request={}, seed=0))

    @rule()
    def claim(self):
        self.jobs.claim_next(1.0)

    @rule(
        to=st.sampled_from(["queued", "paused", "succeeded", "failed", "cancelled"]),
        of=st.sets(st.sampled_from(["queued", "running", "paused"]), min_size=1),
    )
    def move(self, to, of):
        before = self.jobs.get("job-1").status
        moved = self.jobs.move("job-1", to=to, of=of, now=1.0, message=to, unless_wanted="cancel")
        assert moved is None or before in of

    @rule(wish=st.sampled_from(["cancel", "pause"]))
    def ask(self, wish):
        asked = self.jobs.ask("job-1", wish)
        assert asked is None or asked.status == "running"

    @rule()
    def seal(self):
        self.jobs.seal("job-1")

    @rule()
    def restart(self):
        self.jobs.requeue_orphans(1.0)

    @rule(count=st.integers(0, 3))
    def say(self, count):
        self.jobs.append_events("job-1", [Entry(type="message", message="x", created_at=1.0)] * count)

    @invariant()
    def the_diary_has_no_gap_and_one_end_and_ends_in_the_status(self):
        events = self.jobs.events("job-1")
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        said = [event.data["status"] for event in events if event.type == "status"]
        assert said[-1] == self.jobs.get("job-1").status
        assert not ENDED.intersection(said[:-1])

    def teardown(self):
        self.database.close()
        self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
