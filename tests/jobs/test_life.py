"""The life of a job, by scripts: every way it can end, and that it ends once."""

from __future__ import annotations

import threading

import pytest

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import PageRequest


def test_a_job_that_finishes_is_a_registered_version_and_leaves_no_files(world):
    job = world.script("save", "finish")
    world.until(job, "succeeded")
    model = world.storage.models.resolve("m")
    record = world.jobs.get(job)
    assert (record.model, record.result, record.metrics) == ("m@1", {"epochs": 1}, {"accuracy": 1.0})
    assert model.lineage == {"job": job, "dataset": "ds-1", "parent": None, "feedback": 0}
    assert world.artifacts.path("models/m/1/weights.safetensors").read_text() == "weights"
    assert world.left_by(job) == []
    assert [c.step for c in world.jobs.checkpoints(job)] == [1]


def test_a_diary_tells_every_status_message_metric_and_checkpoint_in_order(world):
    job = world.script(["say", "hello"], ["measure", 1], "save", ["measure", 2], "finish")
    world.until(job, "succeeded")
    events = world.storage.jobs.events(job)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events] == [
        *("status", "status", "message", "metrics", "checkpoint", "metrics", "status")
    ]
    assert events[3].data == {"step": 1, "epoch": 1, "loss": 1.0}
    assert world.jobs.get(job).metrics == {"loss": 0.5, "accuracy": 1.0}


def test_progress_is_on_the_record_with_the_time_it_will_take(world):
    job = world.script(["step", 1, 10], ["step", 5, 10], "obey")
    world.until(job, "running")
    world.jobs.pause(job)
    progress = world.jobs.get(job).progress
    assert (progress["step"], progress["steps"]) == (5, 10)
    assert progress["eta_seconds"] >= 0


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["fail", "diverged", "the loss is NaN"], "diverged", "the loss is NaN"),
        (["crash", "memory"], "out_of_memory", "as the script says"),
        (["crash", "bug"], "internal_error", "ZeroDivisionError"),
        (["die"], "worker_died", "signal 9"),
        (["leave"], "worker_died", "gone"),
    ],
)
def test_a_job_that_fails_says_why_and_leaves_nothing(world, line, code, told, capfd):
    job = world.script("save", line)
    world.until(job, "failed")
    record = world.jobs.get(job)
    assert record.error["code"] == code
    assert told in record.error["message"]
    assert world.left_by(job) == []
    assert world.jobs.checkpoints(job) == []
    assert world.storage.models.ids() == set()


def test_a_job_whose_process_is_killed_goes_on_from_its_checkpoint_twice(world):
    job = world.script(["say", "once"], "save", ["die", 2], ["say", "made it"], "finish")
    world.until(job, "succeeded")
    messages = [event.message for event in world.storage.jobs.events(job)]
    assert (messages.count("once"), messages.count("made it")) == (1, 1)
    assert world.statuses(job) == ["queued", *["running", "queued"] * 2, "running", "succeeded"]


def test_a_queued_job_is_cancelled_at_once(world):
    for number in (1, 2):
        world.script("obey", id=f"job-{number}")
    waiting = world.script("finish", id="job-3")
    world.until("job-2", "running")
    assert world.jobs.cancel(waiting).status == "cancelled"
    assert world.statuses(waiting) == ["queued", "cancelled"]


def test_a_running_job_is_cancelled_at_its_next_step_and_leaves_nothing(world):
    job = world.script("save", ["say", "ready"], "obey")
    world.until(job, "ready")
    record = world.jobs.cancel(job)
    assert (record.status, record.finished_at is not None) == ("cancelled", True)
    assert (world.left_by(job), world.jobs.checkpoints(job)) == ([], [])


def test_what_a_job_says_after_it_is_cancelled_is_not_written_down_and_holds_nothing_up(world):
    job = world.script(["say", "ready"], ["rush", 1000])
    world.until(job, "ready")
    assert world.jobs.cancel(job).status == "cancelled"
    assert [event.type for event in world.storage.jobs.events(job, limit=1000) if event.type == "metrics"] == []


def test_a_job_that_does_not_listen_is_killed_when_it_is_cancelled(world):
    job = world.script("ignore", listens=False)
    world.until(job, "deaf")
    assert world.jobs.cancel(job).status == "cancelled"


def test_a_job_that_listens_but_hangs_is_killed_after_a_grace(world, monkeypatch):
    monkeypatch.setattr("lmaas_server.jobs.supervision.CANCEL_SECONDS", 0.05)
    job = world.script("ignore")
    world.until(job, "deaf")
    assert world.jobs.cancel(job).status == "cancelled"


def test_a_paused_job_has_no_process_and_goes_on_from_its_checkpoint(world):
    job = world.script(["say", "first"], "obey", ["say", "second"], "finish")
    world.until(job, "first")
    assert world.jobs.pause(job).status == "paused"
    assert world.runner._active == {}
    assert world.jobs.resume(job).status == "queued"
    world.until(job, "succeeded")
    messages = [event.message for event in world.storage.jobs.events(job)]
    assert (messages.count("first"), messages.count("second")) == (1, 1)
    assert world.statuses(job) == ["queued", "running", "paused", "queued", "running", "succeeded"]


def test_a_paused_job_can_be_cancelled_and_leaves_nothing(world):
    job = world.script(["say", "first"], "obey")
    world.until(job, "first")
    world.jobs.pause(job)
    assert world.jobs.cancel(job).status == "cancelled"
    assert (world.left_by(job), world.jobs.checkpoints(job)) == ([], [])


@pytest.mark.parametrize(
    ("status", "wish", "code"),
    [
        ("succeeded", "cancel", "job_not_cancellable"),
        ("failed", "cancel", "job_not_cancellable"),
        ("cancelled", "cancel", "job_not_cancellable"),
        ("paused", "pause", "job_not_pausable"),
        ("succeeded", "pause", "job_not_pausable"),
        ("queued", "resume", "job_not_resumable"),
        ("succeeded", "resume", "job_not_resumable"),
    ],
)
def test_a_wish_that_the_status_forbids_is_a_conflict_that_names_it(prepared, status, wish, code):
    job = prepared.script("finish")
    prepared.storage.jobs.move(job, to=status, of=["queued"], now=1.0, message="As the test says.")
    with pytest.raises(ConflictError, match=status) as caught:
        getattr(prepared.jobs, wish)(job)
    assert caught.value.code == code
    assert prepared.jobs.get(job).status == status


def test_a_job_whose_outcome_is_being_recorded_can_no_longer_be_cancelled(prepared):
    job = prepared.script("finish")
    prepared.storage.jobs.claim_next(1.0)
    prepared.storage.jobs.seal(job)
    with pytest.raises(ConflictError, match="being recorded as finished"):
        prepared.jobs.cancel(job)


def test_a_wish_for_a_job_that_is_not_there_says_so(prepared):
    for wish in (prepared.jobs.cancel, prepared.jobs.pause, prepared.jobs.resume, prepared.jobs.checkpoints):
        with pytest.raises(MissingError, match="no job 'job-x'"):
            wish("job-x")


@pytest.mark.parametrize("turn", range(5))
def test_a_cancellation_that_races_success_has_one_winner(world, turn):
    job = world.script("finish")
    outcome = []

    def cancel():
        try:
            outcome.append(world.jobs.cancel(job).status)
        except ConflictError as error:
            outcome.append(error.code)

    racing = threading.Thread(target=cancel)
    racing.start()
    racing.join(30)
    world.jobs._jobs.bell.wait(job, lambda: world.jobs.get(job).finished_at is not None, 30)
    statuses = world.statuses(job)
    assert sum(status in {"succeeded", "cancelled"} for status in statuses) == 1
    assert (outcome == ["cancelled"]) == (statuses[-1] == "cancelled")
    assert (world.storage.models.ids() == set()) == (statuses[-1] == "cancelled")


def test_no_more_jobs_run_at_once_than_there_is_room_for(world):
    for number in range(4):
        world.script("obey", id=f"job-{number}")
    world.until("job-1", "running")
    assert [world.storage.jobs.count(status) for status in ("running", "queued")] == [2, 2]
    world.jobs.cancel("job-0")
    world.until("job-2", "running")


def test_only_the_newest_checkpoints_are_kept(world):
    job = world.script("save", "save", "save", "save", ["say", "saved"], "obey", checkpoints={"keep": 2})
    world.until(job, "saved")
    assert [c.step for c in world.jobs.checkpoints(job)] == [4, 3]
    assert sorted(p.name for p in world.artifacts.path(f"jobs/{job}/checkpoints").iterdir()) == ["3", "4"]


def test_events_are_paged_in_both_orders(world):
    job = world.script(["say", "one"], ["say", "two"], "finish")
    world.until(job, "succeeded")
    newest = world.jobs.events_page(job, PageRequest(limit=2))
    assert ([e.seq for e in newest.items], newest.has_more) == ([5, 4], True)
    oldest = world.jobs.events_page(job, PageRequest(after=newest.items[-1].id, limit=10))
    assert ([e.seq for e in oldest.items], oldest.has_more) == ([3, 2, 1], False)
    assert world.jobs.events_page(job, PageRequest(after=oldest.items[-1].id)).items == ()
    forward = world.jobs.events_page(job, PageRequest(after=newest.items[-1].id, order="asc"))
    assert [e.seq for e in forward.items] == [5]


def test_stopping_pauses_what_runs_by_a_checkpoint_and_a_restart_goes_on(world, reopened, bare_forks):
    job = world.script(["say", "first"], "obey", ["say", "second"], "finish")
    world.until(job, "first")
    world.runner.stop(drain=30)
    assert world.statuses(job) == ["queued", "running", "queued"]
    again = reopened(bare_forks)
    again.until(job, "succeeded")
    messages = [event.message for event in again.storage.jobs.events(job)]
    assert (messages.count("first"), again.jobs.get(job).attempt) == (1, 1)


def test_stopping_kills_what_does_not_stop_and_queues_it_again(world):
    job = world.script("ignore")
    world.until(job, "deaf")
    world.runner.stop(drain=0.05)
    assert world.statuses(job) == ["queued", "running", "queued"]


def test_who_listens_is_told_of_every_job_that_has_ended(world):
    told = {"good": threading.Event(), "bad": threading.Event()}
    world.runner.listen(lambda job: told[job.request["name"]].set())
    world.script("finish", name="good", id="job-1")
    world.script(["fail", "bad", "as it says"], name="bad", id="job-2")
    assert all(event.wait(30) for event in told.values())
