"""Text and tables live the whole life of a model: from rows to a corrected version, over a real socket."""

from __future__ import annotations

import pytest

from lmaas import UnprocessableEntityError
from lmaas.types import TargetSpec

MAIL = [{"text": f"{('see you', 'win a prize')[i % 2]} {i}", "label": ("ham", "spam")[i % 2]} for i in range(150)]
PEOPLE = [{"age": i % 50, "job": "abc"[i % 3], "income": "high" if i % 50 > 25 else "low"} for i in range(200)]


def trained(client, rows, **rest):
    return client.jobs.wait(client.train(rows, seed=0, **rest)).model


def test_texts_are_learned_served_and_corrected(lmaas_client):
    model = trained(lmaas_client, MAIL, name="e2e-mail")
    lmaas_client.deploy(model, name="e2e-mail")
    answers = lmaas_client.predict("e2e-mail", ["win a prize", "", "see you"])
    assert [(answer.label, answer.error and answer.error.code) for answer in answers.outputs] == [
        ("spam", None),
        (None, "text_empty"),
        ("ham", None),
    ]
    offers = lmaas_client.predict("e2e-mail", [f"crypto offer {i}" for i in range(200)])
    lmaas_client.feedback(offers, labels=["spam"] * 200)
    update = lmaas_client.jobs.wait(lmaas_client.update("e2e-mail", seed=0))
    assert update.result["promoted"], update.result
    assert lmaas_client.predict("e2e-mail", "a crypto offer").labels == ["spam"]


def test_a_table_is_learned_served_and_measured_by_groups(lmaas_client):
    model = trained(lmaas_client, PEOPLE, name="e2e-people", target="income")
    lmaas_client.deploy(model, name="e2e-people")
    answers = lmaas_client.predict("e2e-people", [{"age": 45, "job": "never seen"}, {"age": "x"}, {"age": 2}]).outputs
    assert [answer.label for answer in answers] == ["high", None, "low"]
    assert "column 'age' takes a finite number" in answers[1].error.message
    measured = lmaas_client.jobs.wait(lmaas_client.evaluate(model, PEOPLE, target="income", slice_by="job")).metrics
    groups = [(group["value"], group["rows"]) for group in measured["slices"]["values"]]
    assert groups == [("a", 67), ("b", 67), ("c", 66)]


def test_rows_of_a_table_are_shown_as_they_were_sent(lmaas_client):
    made = lmaas_client.datasets.create(PEOPLE, target="income")
    rows = lmaas_client.datasets.rows(made.id, limit=2)
    assert [(row.input, row.target) for _, row in zip(range(2), rows, strict=False)] == [
        ({"age": 0, "job": "a"}, "low"),
        ({"age": 1, "job": "b"}, "low"),
    ]


def test_sets_of_classes_and_several_values_come_back_as_they_were_asked(lmaas_client):
    rows = [{"text": f"{'cat' if i % 2 else 'dog'} {i}", "labels": ["cat"] * (i % 2)} for i in range(100)]
    lmaas_client.deploy(trained(lmaas_client, rows, name="e2e-tags"), name="e2e-tags")
    prediction = lmaas_client.predict("e2e-tags", ["cat 3", "dog 4"])
    assert prediction.label_sets == [["cat"], []]
    said = [["cat", "pet"], []]
    assert [item.value for item in lmaas_client.feedback(prediction, labels=said)] == said
    with pytest.raises(UnprocessableEntityError, match="any number of classes"):
        lmaas_client.feedback(prediction, labels=["cat", "dog"])


def test_two_columns_are_two_values(lmaas_client):
    rows = [{"x": i % 20, "low": float(i % 20), "high": 2.5 * (i % 20)} for i in range(100)]
    model = trained(lmaas_client, rows, name="e2e-band", target=TargetSpec(column=("low", "high")))
    lmaas_client.deploy(model, name="e2e-band")
    ((low, high),) = lmaas_client.predict("e2e-band", {"x": 10}).values
    assert (low, high) == (pytest.approx(10, abs=2), pytest.approx(25, abs=5))
