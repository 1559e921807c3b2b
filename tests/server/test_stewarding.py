"""Updates that a deployment starts of its own accord: by feedback, by time, on drift; one at a time, none twice."""

from __future__ import annotations

import dataclasses
import random

import pytest

from lmaas_server.services import stewarding

HELD = {"promoted": False, "passed": False, "reason": "insufficient_evidence"}


@pytest.fixture
def app(unattended):
    """An application whose jobs wait for ever, and whose steward looks when a test says so."""
    return unattended


@pytest.fixture
def steward(deployed, server):
    """The deployment `d`, and its steward at hand."""
    return Watched(deployed, server)


class Watched:
    """A deployment with a policy, what is said of it, and the updates it has started."""

    def __init__(self, ask, server) -> None:
        self.ask, self.server, self.said = ask, server, 0

    def policy(self, **policy):
        answer = self.ask.http.patch("/v1/deployments/d", json={"update_policy": policy})
        assert answer.status_code == 200, answer.json

    def say(self, count=1, **item):
        """Label rows of a new prediction."""
        id = self.ask.predict(count).json["id"]
        item = {"prediction_id": id, "kind": "label", "value": 1, **item}
        answer = self.ask.http.post("/v1/feedback", json={"items": [{**item, "index": n} for n in range(count)]})
        assert answer.status_code == 200, answer.json
        return [one["id"] for one in answer.json["data"]]

    def look(self, times=2):
        """Have the steward look, more than once: what is done once must stay so. Returns the updates, oldest first."""
        for _ in range(times):
            self.server.steward.look_at_all()
        return self.updates()

    def updates(self):
        return self.ask.http.get("/v1/jobs?type=update&deployment=d&order=asc").json["data"]

    def end(self, result=HELD, to="succeeded"):
        """End the update that is open, without doing its work."""
        jobs = self.server.storage.jobs
        (job,) = [job for job in self.updates() if job["status"] == "queued"]
        result = result if to == "succeeded" else None
        now = self.server.clock()
        assert jobs.move(job["id"], to=to, of=["queued"], now=now, message=to, result=result, finished_at=now)

    def events(self, type="update"):
        found = self.ask.http.get("/v1/deployments/d/events").json["data"]
        return [event for event in found if event["type"] == type]

    def alarm(self, model="blobs@1"):
        """Write down an alarm."""
        events = self.server.storage.deployment_events
        return events.add("d", "drift", "It drifts.", {"model": model}, self.server.clock(), level="warning").id


def test_so_many_items_start_one_update_which_says_why(steward):
    steward.policy(min_feedback=3, strategy="finetune", promote="manual")
    steward.say(2)
    assert steward.look() == []
    steward.say(2)
    (job,) = steward.look()
    assert job["trigger"] == {"cause": "feedback", "feedback": 4, "alarm": None}
    assert (job["request"]["strategy"], job["request"]["promote"]) == ("finetune", "manual")
    (event,) = steward.events()
    assert event["data"]["job"] == job["id"]
    assert "4 new items of feedback, and the policy asks for 3" in event["message"]


def test_a_start_that_was_not_told_because_the_server_was_killed_is_told_by_the_next_one(steward, monkeypatch):
    def killed(*_, **__):
        raise SystemExit

    steward.policy(min_feedback=3)
    steward.say(3)
    with monkeypatch.context() as patch:
        patch.setattr(steward.server.storage.deployment_events, "add", killed)
        with pytest.raises(SystemExit):
            steward.server.steward.look_at_all()
    steward.policy(every_seconds=60)
    (job,) = steward.look()
    (event,) = steward.events()
    assert (event["data"]["job"], event["data"]["status"]) == (job["id"], "queued")
    assert event["message"] == f"{job['id']} was started because there were 3 new items of feedback."
    steward.end()
    steward.look()
    assert [event["data"]["status"] for event in steward.events()] == ["queued", "succeeded"]


def test_without_a_policy_nothing_starts(steward):
    steward.say(50)
    assert steward.look() == []


def test_what_nothing_learns_from_starts_nothing(steward):
    steward.policy(min_feedback=1)
    steward.say(5, kind="comment", value="hm")
    assert steward.look() == []


def test_what_comes_while_an_update_runs_makes_one_more_of_it_afterwards(steward):
    steward.policy(min_feedback=2)
    steward.say(2)
    steward.look()
    for _ in range(5):
        steward.say(2)
        assert len(steward.look()) == 1
    steward.end()
    first, second = steward.look()
    assert (first["status"], second["trigger"]["feedback"]) == ("succeeded", 10)
    steward.end()
    assert len(steward.look()) == 2


def test_a_held_update_is_not_begun_again_on_the_same_feedback(steward, clock):
    steward.policy(min_feedback=2, every_seconds=60, on_drift=True)
    steward.say(3)
    steward.look()
    steward.end()
    clock.now += 10_000
    assert len(steward.look()) == 1
    steward.say(1)
    assert steward.look()[1]["trigger"]["cause"] == "time"


@pytest.mark.parametrize("to", ["failed", "cancelled"])
def test_an_update_that_failed_or_was_cancelled_is_not_begun_again_either(steward, to):
    steward.policy(min_feedback=2)
    steward.say(3)
    steward.look()
    steward.end(to=to)
    assert len(steward.look()) == 1
    assert steward.events()[-1]["data"]["status"] == to


def test_time_starts_an_update_where_something_has_come(steward, clock):
    steward.policy(every_seconds=60)
    clock.now += 3600
    assert steward.look() == []
    steward.say(1)
    (job,) = steward.look()
    assert job["trigger"]["cause"] == "time"
    steward.end()
    clock.now += 59
    steward.say(1)
    assert len(steward.look()) == 1
    clock.now += 1
    assert len(steward.look()) == 2


def test_an_alarm_starts_an_update_once_there_is_something_to_learn(steward):
    steward.policy(on_drift=True)
    alarm = steward.alarm()
    assert steward.look() == []
    steward.say(1)
    (job,) = steward.look()
    assert job["trigger"] == {"cause": "drift", "feedback": 1, "alarm": alarm}


def test_an_alarm_answered_in_vain_is_tried_again_with_twice_the_feedback(steward):
    steward.policy(on_drift=True)
    steward.alarm()
    steward.say(4)
    steward.look()
    steward.end()
    steward.say(3)
    assert len(steward.look()) == 1
    steward.say(1)
    assert len(steward.look()) == 2
    steward.end({"promoted": True, "passed": True, "reason": "promoted", "candidate": "blobs@2"})
    steward.say(20)
    assert len(steward.look()) == 2  # the alarm is answered


def test_an_alarm_about_a_version_that_serves_no_more_starts_nothing(steward):
    steward.policy(on_drift=True)
    steward.alarm(model="blobs@0")
    steward.say(4)
    assert steward.look() == []


def test_an_update_that_somebody_asked_for_counts_and_a_dry_run_does_not(steward):
    steward.policy(min_feedback=2)
    steward.say(2)
    body = {"type": "update", "deployment": "d"}
    assert steward.ask.http.post("/v1/jobs", json={**body, "dry_run": True}).status_code == 200
    assert len(steward.look()) == 1
    steward.end()
    assert len(steward.look()) == 2
    steward.end()
    steward.say(1)
    steward.ask.http.post("/v1/jobs", json=body)
    steward.end()
    steward.say(1)
    assert [job["trigger"] is None for job in steward.look()] == [True, False, True]


def test_while_there_is_a_canary_no_other_is_made(steward, other_classifier):
    other_classifier.register(steward.server)
    steward.policy(min_feedback=1, promote="canary", canary_share=0.25)
    variants = [{"model": "blobs@1", "weight": 9}, {"model": "blobs@2", "role": "canary"}]
    steward.ask.http.patch("/v1/deployments/d", json={"variants": variants})
    steward.say(3)
    assert steward.look() == []
    steward.ask.http.patch("/v1/deployments/d", json={"variants": variants[:1]})
    (job,) = steward.look()
    assert (job["request"]["promote"], job["request"]["canary_share"]) == ("canary", 0.25)


def test_retracted_feedback_starts_nothing(steward):
    steward.policy(min_feedback=3)
    for id in steward.say(3)[:1]:
        steward.ask.http.delete(f"/v1/feedback/{id}")
    assert steward.look() == []


def test_an_update_that_cannot_be_is_told_once(steward):
    steward.policy(min_feedback=1, strategy="retrain")
    steward.say(1)
    assert steward.look(3) == []
    (event,) = steward.events()
    assert (event["level"], event["data"]["error"]["code"]) == ("error", "dataset_needed")


def test_two_stewards_over_one_database_start_one_update(steward):
    from lmaas_server.services.self_updating import SelfUpdates

    steward.policy(min_feedback=1)
    steward.say(1)
    first = next(chore for chore in steward.server.steward._chores if isinstance(chore, SelfUpdates))
    seen = steward.server.storage.deployments.get("d")
    standing = []
    create = first._updating.create

    def slow(request, **more):
        """The other one finds, starts and ends the update before this one, which had found it due, gets to it."""
        if not standing:
            standing.append(more["request_key"])
            SelfUpdates(steward.server.storage, first._updating, clock=steward.server.clock).look(seen)
            steward.end()
        return create(request, **more)

    first._updating.create = slow
    first.look(seen)
    assert len(steward.look()) == 1
    assert len(steward.events()) == 2  # of its beginning and of its end


def test_a_deployment_of_the_same_name_begins_anew(steward, clock):
    steward.policy(min_feedback=1)
    steward.say(1)
    steward.look()
    steward.end()
    assert steward.ask.http.delete("/v1/deployments/d").status_code == 200
    clock.now += 1
    steward.ask.deploy("blobs", update_policy={"min_feedback": 1})
    steward.say(1)
    assert len(steward.look()) == 2


def test_feedback_alarms_and_moments_wake_the_thread(steward, clock, monkeypatch):
    monkeypatch.setattr(stewarding, "PATIENCE_SECONDS", 10_000.0)  # nothing is found by looking at all
    steward.policy(min_feedback=1)
    steward.server.steward.start()
    steward.say(1)
    steward.ask.wait_for(lambda: len(steward.updates()) == 1)
    steward.end()
    steward.policy(on_drift=True)
    steward.say(1)
    rng = random.Random(0)
    for place in range(400):  # reported as answers are, and found by the observer's thread
        outputs = [{"score": rng.betavariate(30 if place < 300 else 3, 1)}]
        steward.server.observer.answered("d", "blobs@1", role="champion", outputs=outputs, seconds=0.001)
    steward.ask.wait_for(lambda: len(steward.updates()) == 2)
    assert steward.updates()[1]["trigger"]["cause"] == "drift"
    steward.end()
    steward.policy(every_seconds=60)
    steward.say(1)
    clock.now += 61
    steward.server.steward.wake([])  # the clock of a test does not wake who waits for it
    steward.ask.wait_for(lambda: len(steward.updates()) == 3)


def test_a_chore_that_breaks_takes_no_other_along(steward):
    class Broken:
        def look(self, _record):
            raise RuntimeError("broken")

    steward.policy(min_feedback=1)
    steward.say(1)
    steward.server.steward._chores = (Broken(), *steward.server.steward._chores)
    assert len(steward.look()) == 1


def test_what_is_packed_while_a_job_waits_calls_for_no_other_update(steward, server):
    steward.policy(min_feedback=2)
    steward.say(2)
    (job,) = steward.look()
    steward.say(2)
    record = server.storage.jobs.get(job["id"])
    kind = server.runner._kinds["update"]
    kind.prepare(record, server.artifacts.path(f"jobs/{record.id}/inputs"))
    assert server.storage.jobs.get(record.id).feedback_position == server.storage.feedback.newest("d")
    steward.end()
    assert len(steward.look()) == 1
    assert dataclasses.asdict(record)["trigger"]["feedback"] == 2
