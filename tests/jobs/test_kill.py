"""kill -9 of the server, at every point between a checkpoint and success: the work is done once."""

from __future__ import annotations

import pytest

from lmaas.types import UpdateRequest

COMMIT = [
    "before the outcome is kept",
    "after the outcome is kept",
    "before the files are placed",
    "between the files and the row",
    "after the row",
    "before success is recorded",
    "before the job's files are removed",
]


@pytest.mark.parametrize("point", COMMIT)
def test_a_model_is_registered_once_when_the_server_dies(point, prepared, killed_server, reopened, bare_forks):
    job = prepared.script("finish")
    killed_server(point, "scripted_work")
    world = reopened(bare_forks)
    world.until(job, "succeeded")
    assert world.storage.models.ids() == {"m@1"}
    assert world.jobs.get(job).model == "m@1"
    assert [path.name for path in world.artifacts.path("models/m").iterdir()] == ["1"]
    assert world.artifacts.path("models/m/1/weights.safetensors").read_text() == "weights"
    assert world.left_by(job) == []
    events = world.storage.jobs.events(job)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("case", [("after a checkpoint", 1), ("between a checkpoint and its row", 2)])
def test_a_job_goes_on_from_the_last_checkpoint_that_was_recorded(case, prepared, killed_server, reopened, bare_forks):
    point, times = case
    job = prepared.script(["say", "first"], "save", ["say", "second"], "finish")
    killed_server(point, "scripted_work")
    world = reopened(bare_forks)
    world.until(job, "succeeded")
    assert [event.message for event in world.storage.jobs.events(job)].count("first") == times
    assert world.statuses(job) == ["queued", "running", "queued", "running", "succeeded"]


@pytest.mark.parametrize(
    "point",
    [*COMMIT, "after the promotion", "after the feedback is noted"],
)
def test_an_update_is_promoted_once_when_the_server_dies(point, prepared, killed_server, reopened, bare_forks):
    served(prepared)
    job = prepared.updating.create(UpdateRequest(deployment="reader"))
    killed_server(point, "scripted_work")
    world = reopened(bare_forks, scripted_updates=True)
    world.until(job.id, "succeeded")
    assert world.storage.models.ids() == {"m@1", "m@2"}
    assert [r.revision for r in world.storage.deployments.revisions("reader")] == [2, 1]
    assert world.storage.deployments.get("reader").variants[0]["model"] == "m@2"
    assert world.storage.feedback.pending("reader") == []
    assert world.jobs.get(job.id).result["promoted"]


def served(world):
    """Have a version serve, with feedback about it."""
    facts = {"task": "classification", "architecture": {}, "parameters": 1, "bytes": 1, "sha256": "0"}
    facts |= {"metrics": {}, "input": {}, "target": {}, "lineage": {"dataset": "ds-1"}, "created_at": 1.0}
    world.storage.models.add_version("m", **facts)
    world.artifacts.write("models/m/1/bundle.json", b"{}")
    world.deploy("m@1")
    world.tell(10)
