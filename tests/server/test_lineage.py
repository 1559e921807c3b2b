"""What a version was made from, over HTTP: the whole line, and what was deleted of it."""

from __future__ import annotations

import pytest

from lmaas_server.app import server_of
from lmaas_server.records import JobRecord

UPDATED = {"champion": "blobs@1", "feedback_used": 2, "feedback_held_out": 1, "contradictions": 1, "capped": {"bad": 4}}


@pytest.fixture
def line(deployed, other_classifier):
    """blobs@1, and blobs@2 that an update has made of it and of three items of feedback; both serve in `d`."""
    server = server_of(deployed.http.application)
    request = {"strategy": "replay_distill", "deployment": "d"}
    job = {"id": "job-1", "type": "update", "status": "succeeded", "created_at": 1.0, "seed": 0, "model": "blobs@2"}
    server.storage.jobs.add(JobRecord(**job, request=request, result=UPDATED))
    other_classifier.register(server)
    with server.storage.database.writing() as connection:
        origin = '{"job": "job-1", "dataset": "ds-gone", "parent": "blobs@1", "feedback": 2}'
        connection.exec_driver_sql("UPDATE models SET lineage = ? WHERE version = 2", (origin,))
    prediction = deployed.predict(3).json["id"]
    said = [{"source": "ann"}, {"source": "ann", "kind": "rating"}, {}]
    items = [
        {"id": f"fb-{n}", "prediction_id": prediction, "index": n, "kind": "label", "value": 1, **more}
        for n, more in enumerate(said)
    ]
    assert deployed.http.post("/v1/feedback", json={"items": items}).status_code == 200
    server.storage.feedback.mark_applied(["fb-0", "fb-1", "fb-2"], "blobs@2")
    return deployed


def lineage(ask, model="blobs@2", query=""):
    return ask.http.get(f"/v1/models/{model}/lineage{query}").json


def test_a_version_leads_to_its_job_its_feedback_and_its_parent(line):
    found = lineage(line)
    assert (found["object"], found["id"], found["has_more"]) == ("model.lineage", "blobs@2", False)
    newest, first = found["versions"]
    assert (newest["job"]["id"], newest["job"]["strategy"], newest["parent"]) == ("job-1", "replay_distill", "blobs@1")
    assert (first["id"], first["parent"], first["job"]) == ("blobs@1", None, None)
    assert first["serving"] == [{"deployment": "d", "role": "champion"}]


def test_the_feedback_that_changed_it_is_counted_by_kind_and_source(line):
    feedback = lineage(line)["versions"][0]["feedback"]
    assert (feedback["used"], feedback["held_out"], feedback["applied"]) == (2, 1, 3)
    assert (feedback["by_kind"], feedback["by_source"]) == ({"label": 2, "rating": 1}, {"ann": 2})
    assert (feedback["contradictions"], feedback["capped"]) == (1, {"bad": 4})


def test_the_items_are_reached_from_the_version_and_the_version_from_each_item(line):
    items = line.http.get("/v1/feedback?applied=blobs@2").json["data"]
    assert {item["id"] for item in items} == {"fb-0", "fb-1", "fb-2"}
    assert {line.http.get(f"/v1/feedback/{item['id']}").json["applied_in"] for item in items} == {"blobs@2"}


def test_what_was_retracted_is_no_longer_counted(line):
    line.http.delete("/v1/feedback/fb-1")
    assert lineage(line)["versions"][0]["feedback"]["by_kind"] == {"label": 2}


def test_a_dataset_that_was_deleted_is_gone_and_named(line):
    dataset = lineage(line)["versions"][0]["dataset"]
    assert (dataset["id"], dataset["gone"]) == ("ds-gone", True)


def test_a_version_that_was_deleted_is_gone_and_its_job_tells_where_the_line_goes_on(line, classifier):
    server = server_of(line.http.application)
    third = classifier.register(server)
    with server.storage.database.writing() as connection:
        connection.exec_driver_sql('UPDATE models SET lineage = \'{"parent": "blobs@2"}\' WHERE version = 3')
    assert line.http.delete("/v1/models/blobs@2").status_code == 200
    versions = lineage(line, third.id)["versions"]
    assert [(version["id"], version["gone"]) for version in versions] == [
        ("blobs@3", False),
        ("blobs@2", True),
        ("blobs@1", False),
    ]
    assert versions[1]["job"]["id"] == "job-1"


def test_a_line_is_cut_where_the_limit_is_and_says_that_it_goes_on(line):
    found = lineage(line, query="?limit=1")
    assert ([version["id"] for version in found["versions"]], found["has_more"]) == (["blobs@2"], True)
    assert line.http.get("/v1/models/blobs@2/lineage?limit=0").status_code == 422


def test_an_alias_stands_for_its_version_and_is_shown(line):
    line.http.put("/v1/models/blobs/aliases/best", json={"version": 2})
    assert lineage(line, "blobs@best")["versions"][0]["aliases"] == ["best"]


def test_a_version_that_is_not_there_is_not_found(line):
    answer = line.http.get("/v1/models/blobs@9/lineage")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "model_not_found")
