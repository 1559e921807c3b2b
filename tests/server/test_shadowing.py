"""Shadows: asked the same after the answer is given, compared, counted - and never in anybody's way."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.services.agreement import of_arrays, of_outputs

NPY = "application/x-npy"
WAIT = 20.0


@pytest.fixture
def settings(settings):
    return {**settings, "max_shadowed": 2}


@pytest.fixture
def shadowed(deployed, server, other_classifier, http):
    """`d` serves `blobs@1`, and `blobs@2`, which has other weights, is its shadow."""
    other_classifier.register(server)
    watch(http, "blobs@1", "blobs@2")
    return deployed


def watch(http, champion, *shadows, name="d"):
    variants = [{"model": champion}, *({"model": shadow, "role": "shadow"} for shadow in shadows)]
    assert http.patch(f"/v1/deployments/{name}", json={"variants": variants}).status_code == 200


def figures(http, server, model="blobs@2", name="d"):
    """What a version has done by now, once its shadows have been asked all there was."""
    assert server.shadows.settle(WAIT)
    stats = http.get(f"/v1/deployments/{name}/stats").json
    return next(variant for variant in stats["variants"] if variant["model"] == model), stats


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def between(ask, rows=200):
    """Rows that are between the classes, so that two versions differ in some of them."""
    x = np.random.default_rng(3).normal(size=(rows, 4)).astype(np.float32) * 2
    return x, {"inputs": x.tolist()}


@pytest.fixture
def held(server, monkeypatch):
    """The shadow stops at its first question; returns what waits until it has it, and what lets it go on."""
    asked, go_on = threading.Event(), threading.Event()
    shadow = server.predictors.get("blobs@2")
    real = shadow.answer

    def slow(*args, **more):
        asked.set()
        assert go_on.wait(WAIT)
        return real(*args, **more)

    monkeypatch.setattr(shadow, "answer", slow)
    yield asked, go_on
    go_on.set()


def test_an_answer_does_not_wait_for_a_shadow_that_does_not_come_back(shadowed, http, server, held):
    asked, go_on = held
    first = shadowed.predict(3)
    assert asked.wait(WAIT)  # the shadow has the question, and will not answer before it is let
    second = shadowed.predict(3)
    assert [first.status_code, second.status_code] == [200, 200]
    assert not server.shadows.settle(0)
    go_on.set()
    assert figures(http, server)[0]["requests"] == 2


def test_agreement_is_the_share_of_rows_with_the_same_label(shadowed, http, server):
    x, body = between(shadowed)
    answered = http.post("/v1/deployments/d/predictions", json=body).json["outputs"]
    own = server.predictors.get("blobs@2").predict(x)
    same = sum(ours["label"] == theirs["label"] for ours, theirs in zip(answered, own, strict=True))
    seen, stats = figures(http, server)
    assert 0 < same < len(x)
    assert (seen["compared"], seen["agreed"], seen["agreement"]) == (200, same, same / 200)
    assert (stats["compared"], stats["agreement"]) == (200, same / 200)


def test_what_a_shadow_does_is_in_its_figures_and_not_in_the_whole(shadowed, http, server):
    shadowed.predict(3)
    seen, stats = figures(http, server)
    assert (seen["role"], seen["requests"], seen["rows"], stats["requests"]) == ("shadow", 1, 3, 1)
    assert seen["p50_ms"] > 0
    assert 0 < seen["confidence"] <= 1


def test_a_binary_answer_is_compared_by_its_likeliest_class(shadowed, http, server):
    x, _ = between(shadowed)
    http.post("/v1/deployments/d/predictions", data=npy(x), content_type=NPY, headers={"Accept": NPY})
    ours, theirs = (server.predictors.get(f"blobs@{n}").predict(x) for n in (1, 2))
    same = sum(one["label"] == other["label"] for one, other in zip(ours, theirs, strict=True))
    assert figures(http, server)[0]["agreed"] == same


@pytest.mark.parametrize("binary", [False, True])
def test_values_are_compared_by_their_mean_absolute_difference(ask, http, server, regressor, binary):
    for _ in range(2):
        regressor.register(server, name="values")
    ask.deploy("values@1")
    shadow = server.predictors.get("values@2")
    shadow.compute = lambda rows, real=shadow.compute: real(rows) + 0.5
    watch(http, "values@1", "values@2")
    x, body = between(ask, 10)
    if binary:
        http.post("/v1/deployments/d/predictions", data=npy(x), content_type=NPY, headers={"Accept": NPY})
    else:
        http.post("/v1/deployments/d/predictions", json=body)
    seen, stats = figures(http, server, "values@2")
    assert (seen["measured"], seen["compared"], seen["agreement"]) == (10, 0, None)
    assert seen["mean_difference"] == pytest.approx(0.5, abs=1e-4)
    assert stats["mean_difference"] == seen["mean_difference"]


def test_a_shadow_that_fails_is_counted_and_hurts_nobody(shadowed, http, server):
    shadow = server.predictors.get("blobs@2")
    shadow.compute = None  # whatever calls it breaks
    assert [shadowed.predict().status_code for _ in range(2)] == [200, 200]
    seen, stats = figures(http, server)
    assert (seen["errors"], seen["requests"], seen["error_rate"]) == (2, 0, 1.0)
    assert (stats["requests"], stats["errors"]) == (2, 0)


def test_files_that_cannot_be_read_break_the_shadow_alone(shadowed, http, server):
    server.predictors._loaded.pop("blobs@2")
    (server.artifacts.path("models/blobs/2") / "weights.safetensors").write_bytes(b"broken")
    assert shadowed.predict().status_code == 200
    assert figures(http, server)[0]["errors"] == 1


def test_what_is_too_much_for_a_shadow_is_dropped_and_counted(shadowed, http, server, held):
    asked, go_on = held
    shadowed.predict()
    assert asked.wait(WAIT)
    assert {shadowed.predict().status_code for _ in range(5)} == {200}  # two of them wait
    go_on.set()
    seen, stats = figures(http, server)
    assert (seen["dropped"], seen["requests"], stats["dropped"], stats["requests"]) == (3, 3, 3, 6)


def test_a_repeated_answer_is_not_shown_again(shadowed, http, server):
    for _ in range(2):
        shadowed.predict(headers={"Idempotency-Key": "once"})
    assert figures(http, server)[0]["requests"] == 1


def test_every_shadow_is_asked(shadowed, http, server, other_classifier):
    other_classifier.register(server)
    watch(http, "blobs@1", "blobs@2", "blobs@3")
    shadowed.predict()
    assert [figures(http, server, model)[0]["requests"] for model in ("blobs@2", "blobs@3")] == [1, 1]


def test_what_shadows_say_is_not_logged_as_a_prediction(shadowed, http, server):
    shadowed.predict()
    figures(http, server)
    assert [p["model"] for p in http.get("/v1/predictions").json["data"]] == ["blobs@1"]


def test_a_server_that_stops_does_not_wait_for_shadows(shadowed, server, held):
    asked, go_on = held
    for _ in range(2):
        shadowed.predict()
    assert asked.wait(WAIT)
    server.shadows.close()
    assert shadowed.predict().status_code == 200
    go_on.set()
    assert server.shadows.settle(WAIT)


ANSWERS = {
    "label": ({"label": 3, "score": 0.9}, {"label": 3, "score": 0.1}, {"label": 4, "score": 0.9}),
    "labels": ({"labels": ["a", "b"]}, {"labels": ["b", "a"]}, {"labels": ["a"]}),
    "text": ({"text": "yes"}, {"text": "yes"}, {"text": "yes "}),
}
ERROR = {"error": {"code": "x", "message": "y"}}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_rows_agree_where_they_say_the_same_however_sure_they_are(kind):
    answered, same, other = ANSWERS[kind]
    found = of_outputs([answered, answered, answered, ERROR], [same, other, ERROR, same])
    assert (found.compared, found.agreed, found.measured) == (3, 1, 0)


def test_values_of_any_shape_are_measured_and_errors_are_not():
    answered = [{"value": 1.0}, {"value": [1.0, 2.0]}, {"value": 5.0}, ERROR]
    found = of_outputs(answered, [{"value": 1.5}, {"value": [2.0, 5.0]}, ERROR, {"value": 1.0}])
    assert (found.measured, found.difference, found.compared) == (2, 2.5, 0)


def test_classes_are_compared_by_what_they_are_and_not_by_where_they_stand():
    answered = np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan]], dtype=np.float32)
    shadowed = np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], dtype=np.float32)
    found = of_arrays(answered, shadowed, classes=["a", "b"], shadow_classes=["c", "b", "a"])
    assert (found.compared, found.agreed) == (2, 1)


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=2, max_size=2), max_size=8))
def test_an_answer_does_not_differ_from_itself(rows):
    array = np.array(rows, dtype=np.float32).reshape(-1, 2)
    sound = int((~np.isnan(array).any(axis=1)).sum())
    values = of_arrays(array, array, classes=(), shadow_classes=())
    labels = of_arrays(array, array, classes="ab", shadow_classes="ab")
    assert (values.measured, values.difference) == (sound, 0.0)
    assert (labels.compared, labels.agreed) == (sound, sound)
