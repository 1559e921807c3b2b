"""What becomes of a candidate: once, and never over somebody else's decision."""

from __future__ import annotations

import pytest

from lmaas.types import UpdateRequest
from lmaas_server.errors import ConflictError, InvalidError
from lmaas_server.services.models import ModelService
from lmaas_server.services.promoting import Promoter
from lmaas_server.services.variants import champion_of

FACTS = {"task": "classification", "architecture": {}, "parameters": 1, "bytes": 1, "sha256": "0", "metrics": {}}
FACTS |= {"input": {}, "target": {}, "lineage": {}, "created_at": 1.0}


@pytest.fixture
def served(prepared):
    """The version m@1 behind the deployment reader, ten corrections, and the candidate m@2."""
    for _ in range(2):
        prepared.storage.models.add_version("m", **FACTS)
    prepared.artifacts.write("models/m/1/bundle.json", b"{}")
    prepared.deploy("m@1")
    prepared.tell(10)
    return prepared


@pytest.fixture
def act(served):
    """Act on the candidate of an update that began from m@1."""
    warmed = []

    def run(promote="auto", canary_share=None, **changes):
        request = UpdateRequest(deployment="reader", promote=promote, canary_share=canary_share)
        job = served.updating.create(request, request_key="key")
        candidate = served.storage.models.get("m@2")
        promoter = Promoter(served.storage, warm=warmed.append, clock=lambda: 2.0)
        items = [item.id for item in served.storage.feedback.pending("reader")]
        said = {"champion": "m@1", "passed": True, "reason": "promoted", "items": items, **changes}
        return promoter.act(job, candidate, **said), served.storage.deployments.get("reader"), warmed

    return run


def test_a_candidate_takes_the_champions_share_and_is_loaded_before_it_serves(act):
    verdict, deployment, warmed = act()
    assert verdict == {"promoted": True, "reason": "promoted"}
    assert deployment.variants == ({"model": "m@2", "weight": 1.0, "role": "champion"},)
    assert warmed == ["m@2"]


def test_a_candidate_is_promoted_once_however_often_the_commit_is_begun(act):
    first, second = act(), act()
    assert first[0] == second[0]
    assert first[1].revision == second[1].revision == 2


def test_others_keep_their_share_when_the_champion_changes(served, act):
    others = [{"model": "x@1", "weight": 0.5, "role": "shadow"}, {"model": "y@1", "weight": 0.3, "role": "champion"}]
    champion = {"model": "m@1", "weight": 0.7, "role": "champion"}
    served.storage.deployments.set_variants("reader", [champion, *others], reason="split", now=1.0)
    _, deployment, _ = act()
    assert deployment.variants == ({**champion, "model": "m@2"}, *others)


def test_a_second_canary_takes_the_place_of_the_first(served, act):
    canary = {"model": "x@1", "weight": 0.2, "role": "canary"}
    champion = {"model": "m@1", "weight": 1.0, "role": "champion"}
    served.storage.deployments.set_variants("reader", [champion, canary], reason="try", now=1.0)
    verdict, deployment, _ = act(promote="canary")
    assert verdict == {"promoted": False, "reason": "canary"}
    assert deployment.variants == ({**champion, "weight": 0.9}, {"model": "m@2", "weight": 0.1, "role": "canary"})


@pytest.mark.parametrize(("asked", "share"), [({}, 0.1), ({"canary_share": 0.25}, 0.25)])
def test_a_canary_has_its_share_of_all_the_traffic_and_the_champions_keep_their_proportions(served, act, asked, share):
    champions = [
        {"model": "m@1", "weight": 30.0, "role": "champion"},
        {"model": "y@1", "weight": 10.0, "role": "champion"},
    ]
    served.storage.deployments.set_variants("reader", champions, reason="split", now=1.0)
    _, deployment, _ = act(promote="canary", **asked)
    weights = {variant["model"]: variant["weight"] for variant in deployment.variants}
    assert weights == pytest.approx({"m@1": 0.75 * (1 - share), "y@1": 0.25 * (1 - share), "m@2": share})


def test_a_candidate_is_never_listed_twice(served, act):
    shadow = {"model": "m@2", "weight": 1.0, "role": "shadow"}
    champion = {"model": "m@1", "weight": 1.0, "role": "champion"}
    served.storage.deployments.set_variants("reader", [champion, shadow], reason="watch", now=1.0)
    _, deployment, _ = act(promote="canary")
    assert [(v["model"], v["role"]) for v in deployment.variants] == [("m@1", "champion"), ("m@2", "canary")]


def test_a_share_without_a_canary_is_refused(served):
    with pytest.raises(InvalidError, match="leave it out") as caught:
        served.updating.create(UpdateRequest(deployment="reader", canary_share=0.5))
    assert (caught.value.code, caught.value.param) == ("parameter_mismatch", "canary_share")


@pytest.mark.parametrize("way", ["canary", "manual"])
def test_what_a_waiting_candidate_learned_from_is_applied_once_it_is_champion(served, act, way):
    act(promote=way)
    served.storage.feedback.delete("fb-pred-0-3", now=3.0)
    assert len(served.storage.feedback.pending("reader")) == 9
    champion = [{"model": "m@2", "weight": 1.0, "role": "champion"}]
    served.storage.deployments.set_variants("reader", champion, reason="by hand", now=4.0)
    assert served.storage.feedback.pending("reader") == []
    assert served.storage.feedback.get("fb-pred-0-1").applied_in == "m@2"
    assert served.storage.candidates.count("reader", "m@2") == 0


@pytest.mark.parametrize(("way", "type"), [("auto", "promotion"), ("canary", "canary")])
def test_the_server_says_that_it_was_the_server(served, act, way, type):
    act(promote=way)
    revision = served.storage.deployments.revisions("reader")[0]
    (event,) = served.storage.deployment_events.events("reader")
    assert (revision.actor, revision.cause, event.type) == ("lmaas", type, type)
    assert (event.data["model"], event.data["revision"], event.data["actor"]) == ("m@2", 2, "lmaas")
    assert event.data["feedback_applied"] == (10 if way == "auto" else 0)


def test_a_champion_that_a_person_chose_meanwhile_stays(served, act):
    other = {"model": "x@1", "weight": 1.0, "role": "champion"}
    served.updating.create(UpdateRequest(deployment="reader"), request_key="key")
    served.storage.deployments.set_variants("reader", [other], reason="by hand", now=1.0)
    verdict, deployment, _ = act()
    assert verdict == {"promoted": False, "reason": "champion_changed"}
    assert champion_of(deployment) == "x@1"
    assert len(served.storage.feedback.pending("reader")) == 10


def test_a_deployment_that_was_deleted_meanwhile_is_not_made_again(served, act):
    served.updating.create(UpdateRequest(deployment="reader"), request_key="key")
    served.storage.deployments.delete("reader")
    assert act()[0] == {"promoted": False, "reason": "deployment_gone"}


def test_one_update_of_a_deployment_is_open_at_a_time(served):
    first = served.updating.create(UpdateRequest(deployment="reader"))
    with pytest.raises(ConflictError, match=first.id) as caught:
        served.updating.create(UpdateRequest(deployment="reader"))
    assert caught.value.code == "update_in_progress"


def test_an_update_is_told_which_of_the_remembered_items_were_retracted(served):
    served.artifacts.write("models/m/1/bundle.json", b'{"buffers": {"reservoir_ids": ["fb-pred-0-1", "fb-pred-0-2"]}}')
    served.storage.feedback.delete("fb-pred-0-2", now=1.0)
    job = served.updating.create(UpdateRequest(deployment="reader"))
    kind = served.runner._kinds["update"]
    work = kind.prepare(job, served.artifacts.path(f"jobs/{job.id}/inputs"))
    assert work.spec["retracted"] == ["fb-pred-0-2"]


def test_the_version_an_update_began_from_is_kept_while_it_runs_though_its_deployment_is_gone(served):
    job = served.updating.create(UpdateRequest(deployment="reader"))
    served.runner._kinds["update"].prepare(job, served.artifacts.path(f"jobs/{job.id}/inputs"))
    served.storage.deployments.delete("reader")
    models = ModelService(served.storage, served.artifacts, clock=lambda: 3.0)
    with pytest.raises(ConflictError, match=job.id) as caught:
        models.delete("m@1")
    assert caught.value.code == "model_in_use"
    served.jobs.cancel(job.id)
    assert models.delete("m@1").id == "m@1"


def test_feedback_that_comes_after_an_update_has_begun_waits_for_the_next(served):
    job = served.updating.create(UpdateRequest(deployment="reader"))
    kind, folder = served.runner._kinds["update"], served.artifacts.path(f"jobs/{job.id}/inputs")
    kind.prepare(job, folder)
    before = (folder / "statements.jsonl").read_bytes()
    served.tell(20)
    kind.prepare(job, folder)
    assert (folder / "statements.jsonl").read_bytes() == before
    assert len(served.storage.feedback.pending("reader")) == 20
