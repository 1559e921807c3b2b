"""The guard: a canary that is worse, fails or is slow is taken back by the server; one that is as good stays."""

from __future__ import annotations

import pytest

VARIANTS = [{"model": "blobs@1", "weight": 1}, {"model": "blobs@2", "weight": 1, "role": "canary"}]


@pytest.fixture
def app(unattended):
    """An application whose steward looks when a test says so."""
    return unattended


@pytest.fixture
def trial(deployed, server, clock, other_classifier):
    """The deployment `d` with a canary that gets half of the traffic."""
    other_classifier.register(server)
    return Trial(deployed, server, clock)


class Trial:
    """A canary, what is said of it, and what becomes of it."""

    def __init__(self, ask, server, clock) -> None:
        self.ask, self.server, self.clock, self.users = ask, server, clock, 0
        self.change(variants=VARIANTS)

    def change(self, **fields):
        self.clock.now += 1
        answer = self.ask.http.patch("/v1/deployments/d", json=fields)
        assert answer.status_code == 200, answer.json
        self.clock.now += 1

    def shown(self, model, rows=50):
        """A prediction that a version has made."""
        while True:
            self.users += 1
            answer = self.ask.predict(rows, user=f"user-{self.users}").json
            if answer["model"] == model:
                return answer

    def label(self, model, *, wrong, of=50, kind="label"):
        """Say of so many of the answers of a version that they are wrong, and of the rest that they are right."""
        answer = self.shown(model, of)
        items = []
        for index, output in enumerate(answer["outputs"]):
            bad = index < wrong
            value = (-1 if bad else 1) if kind == "rating" else (output["label"] + bad) % 3
            items.append({"prediction_id": answer["id"], "index": index, "kind": kind, "value": value})
        assert self.ask.http.post("/v1/feedback", json={"items": items}).status_code == 200
        return items

    def look(self):
        """Have the steward look; return who serves, and what the guard has said."""
        for _ in range(2):
            self.server.steward.look_at_all()
        variants = self.ask.http.get("/v1/deployments/d").json["variants"]
        events = self.ask.http.get("/v1/deployments/d/events").json["data"]
        return [v["model"] for v in variants], [event for event in events if event["type"] == "guard"]

    def observe(self, model, *, requests=0, failures=0, seconds=0.001):
        """Report requests of a version."""
        role = "canary" if model == "blobs@2" else "champion"
        for _ in range(requests):
            self.server.observer.answered("d", model, role=role, outputs=[{}], seconds=seconds)
        for _ in range(failures):
            self.server.observer.failed("d", model, role=role)


BOTH = ["blobs@1", "blobs@2"]


def test_a_canary_that_is_wrong_more_often_is_taken_back_with_the_figures_as_the_reason(trial):
    for _ in range(2):
        trial.label("blobs@1", wrong=2)
        trial.label("blobs@2", wrong=12)
    models, (event,) = trial.look()
    assert models == ["blobs@1"]
    revision = trial.ask.http.get("/v1/deployments/d/revisions").json["data"][0]
    assert revision["actor"] == "lmaas"
    assert "24 of 100 answers of blobs@2 (24.0%)" in revision["reason"]
    data = event["data"]
    assert (data["cause"], data["labels"], data["wrong"], data["look"]) == ("labels", 100, 24, 1)
    assert data["chance"] < 0.025
    assert event["level"] == "warning"


def test_a_canary_as_good_as_the_champion_stays(trial):
    for _ in range(4):
        for model in BOTH:
            trial.label(model, wrong=5)
    assert trial.look() == (BOTH, [])


def test_before_the_hundredth_label_nothing_is_judged(trial):
    trial.label("blobs@1", wrong=0)
    trial.label("blobs@2", wrong=50)
    trial.label("blobs@2", wrong=49, of=49)
    assert trial.look() == (BOTH, [])
    trial.label("blobs@2", wrong=1, of=1)
    assert trial.look()[0] == ["blobs@1"]


def test_retracted_labels_do_not_count(trial):
    trial.label("blobs@1", wrong=0)
    for _ in range(2):
        trial.label("blobs@2", wrong=20)
    found = trial.ask.http.get("/v1/feedback?deployment=d&limit=1").json["data"][0]
    trial.ask.http.delete(f"/v1/feedback/{found['id']}")
    assert trial.look() == (BOTH, [])


def test_labels_of_what_was_predicted_before_the_canary_came_do_not_count(trial):
    trial.label("blobs@1", wrong=50)
    trial.change(variants=VARIANTS[:1])
    trial.change(variants=VARIANTS)
    for _ in range(2):
        trial.label("blobs@1", wrong=2)
        trial.label("blobs@2", wrong=12)
    assert trial.look()[1][0]["data"]["champion_wrong"] == 4


def test_a_look_comes_out_the_same_however_late_it_is_taken(trial):
    for _ in range(2):
        trial.label("blobs@1", wrong=2)
        trial.label("blobs@2", wrong=12)
    trial.label("blobs@2", wrong=0)
    trial.label("blobs@1", wrong=50)
    data = trial.look()[1][0]["data"]
    assert (data["look"], data["labels"], data["wrong"], data["champion_labels"]) == (1, 100, 24, 100)


def test_where_there_are_no_labels_ratings_count(trial):
    for _ in range(2):
        trial.label("blobs@1", wrong=2, kind="rating")
        trial.label("blobs@2", wrong=12, kind="rating")
    models, (event,) = trial.look()
    assert (models, event["data"]["cause"]) == (["blobs@1"], "ratings")


def test_a_canary_that_fails_is_taken_back_after_a_few_requests(trial):
    trial.observe("blobs@1", requests=20)
    trial.observe("blobs@2", requests=1, failures=2)
    assert trial.look() == (BOTH, [])  # chance does that once in 850 cases
    trial.observe("blobs@2", failures=1)
    models, (event,) = trial.look()
    assert (models, event["data"]["cause"], event["data"]["errors"]) == (["blobs@1"], "errors", 3)


def test_what_ails_the_champion_too_is_not_the_canarys_fault(trial):
    for model in BOTH:
        trial.observe(model, requests=10, failures=10)
    assert trial.look() == (BOTH, [])


def test_a_canary_that_is_slow_beside_its_champion_is_taken_back(trial):
    trial.observe("blobs@1", requests=200, seconds=0.010)
    trial.observe("blobs@2", requests=199, seconds=0.040)
    assert trial.look() == (BOTH, [])
    trial.observe("blobs@2", requests=1, seconds=0.040)
    models, (event,) = trial.look()
    assert (models, event["data"]["cause"]) == (["blobs@1"], "latency")
    assert "over 3 times" in event["message"]


def test_a_few_milliseconds_are_not_slow(trial):
    trial.observe("blobs@1", requests=200, seconds=0.0005)
    trial.observe("blobs@2", requests=200, seconds=0.004)
    assert trial.look() == (BOTH, [])


def test_an_absolute_budget_needs_no_champion_to_compare_with(trial):
    trial.change(guard={"max_p99_ms": 20.0, "max_latency_factor": None})
    trial.observe("blobs@2", requests=195, seconds=0.001)
    trial.observe("blobs@2", requests=5, seconds=0.050)
    models, (event,) = trial.look()
    assert (models, event["data"]["budget_ms"]) == (["blobs@1"], 20.0)


def test_what_was_slow_an_hour_ago_is_forgotten(trial):
    trial.observe("blobs@1", requests=200)
    trial.observe("blobs@2", requests=200, seconds=1.0)
    trial.clock.now += 3700
    assert trial.look() == (BOTH, [])


def test_one_that_came_back_is_not_judged_by_what_it_did_before(trial):
    trial.observe("blobs@1", requests=20)
    trial.observe("blobs@2", failures=20)
    assert trial.look()[0] == ["blobs@1"]
    trial.change(variants=VARIANTS)
    models, events = trial.look()
    assert (models, len(events)) == (BOTH, 1)
    trial.clock.now += 60
    trial.observe("blobs@2", failures=20)
    assert trial.look()[0] == ["blobs@1"]


def test_a_guard_that_is_off_lets_everything_pass(trial):
    trial.change(guard={"enabled": False})
    trial.observe("blobs@2", failures=50)
    assert trial.look() == (BOTH, [])


def test_a_person_who_was_faster_wins(trial):
    from lmaas_server.services.guarding import CanaryGuard

    trial.observe("blobs@2", failures=50)
    guard = next(chore for chore in trial.server.steward._chores if isinstance(chore, CanaryGuard))
    before = trial.server.storage.deployments.get("d")
    trial.change(model="blobs@2")
    guard.look(before)
    assert trial.look()[0] == ["blobs@2"]


def test_a_server_that_dies_before_the_way_back_goes_it_after_its_restart_and_tells_it_once(trial, monkeypatch):
    trial.observe("blobs@2", failures=50)
    with monkeypatch.context() as patched:
        patched.setattr(trial.server.deploying, "rollback", lambda *_, **__: 1 / 0)
        models, events = trial.look()
    assert (models, len(events)) == (BOTH, 1)
    models, events = trial.look()
    assert (models, len(events)) == (["blobs@1"], 1)


def test_the_thread_takes_a_canary_back_by_itself(trial):
    trial.server.steward.start()
    for _ in range(2):
        trial.label("blobs@1", wrong=2)
        trial.label("blobs@2", wrong=12)
    trial.ask.wait_for(lambda: len(trial.ask.http.get("/v1/deployments/d").json["variants"]) == 1)
