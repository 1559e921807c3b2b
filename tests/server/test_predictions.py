"""Predictions over HTTP, as JSON and as arrays."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings

NPY = "application/x-npy"


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture
def deployed(shared):
    """The shared application: what is logged here disturbs nobody."""
    return shared


@pytest.fixture
def http(shared):
    """Requests to it."""
    return shared.http


@pytest.fixture
def send(deployed):
    """Send an array and return the answer."""

    def send(array, *, query="", accept=NPY, name="d", **headers):
        body = array if isinstance(array, bytes) else npy(array)
        path = f"/v1/deployments/{name}/predictions{query}"
        return deployed.http.post(path, data=body, content_type=NPY, headers={"Accept": accept, **headers})

    return send


def test_each_row_has_a_label_and_its_score(deployed):
    made = deployed.predict(3).json
    assert (made["object"], made["deployment"], made["model"]) == ("prediction", "d", "blobs@1")
    assert [output["label"] for output in made["outputs"]] == [0, 1, 2]
    assert all(0 < output["score"] <= 1 for output in made["outputs"])


def test_the_likeliest_classes_and_all_probabilities_on_request(deployed):
    (output,) = deployed.predict(1, parameters={"top_k": 2, "probabilities": True}).json["outputs"]
    assert output["top"][0]["label"] == output["label"]
    assert (len(output["top"]), len(output["probabilities"])) == (2, 3)
    assert sum(output["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_values_for_a_model_of_values(shared, regressor):
    regressor.register(server_of(shared.http.application), name="values")
    shared.deploy("values", name="values")
    assert [len(output["value"]) for output in shared.predict(2, name="values").json["outputs"]] == [2, 2]


def test_a_batch_answers_as_its_rows_do_alone(deployed):
    together = deployed.predict(5).json["outputs"]
    alone = [
        deployed.http.post("/v1/deployments/d/predictions", json={"inputs": [row]}).json["outputs"][0]
        for row in deployed.rows(5)
    ]
    assert [o["label"] for o in together] == [o["label"] for o in alone]
    assert [o["score"] for o in together] == pytest.approx([o["score"] for o in alone], abs=1e-6)


BAD_ROWS = [
    "[NaN, 0, 0, 0]",
    "[1e39, 0, 0, 0]",
    "[Infinity, 0, 0, 0]",
    "[0, 0, 0]",
    "null",
    '"x"',
    "[[]]",
    "{}",
    "1" * 400,
]


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_has_an_error_in_its_place_and_its_neighbours_are_answered(deployed, row):
    good = json.dumps(deployed.rows(1)[0])
    body = f'{{"inputs": [{good}, {row}, {good}]}}'
    answer = deployed.http.post("/v1/deployments/d/predictions", data=body, content_type="application/json")
    first, bad, last = answer.json["outputs"]
    assert first == last
    assert first["label"] == 0
    assert bad.keys() == {"error"}
    assert "row 1" in bad["error"]["message"]


@pytest.mark.parametrize("depth", [3, 64, 65, 500, 1000, 5000])
def test_rows_in_lists_of_any_depth_are_refused_and_break_nothing(deployed, depth):
    body = b'{"inputs": ' + b"[" * depth + b"1" + b"]" * depth + b"}"
    answer = deployed.http.post("/v1/deployments/d/predictions", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}


def test_when_every_row_has_a_wrong_shape_both_shapes_are_named_and_nothing_is_kept(deployed):
    before = deployed.predict().json["id"]
    answer = deployed.http.post("/v1/deployments/d/predictions", json={"inputs": [[1, 2], [3]]})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "shape_mismatch")
    assert "(2,)" in answer.json["error"]["message"]
    assert "(4,)" in answer.json["error"]["message"]
    assert deployed.http.get("/v1/predictions?limit=1").json["first_id"] == before


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [[1] * 4], "parameters": {"topk": 1}}, "parameters.topk"),
        ({"inputs": [[1] * 4], "parameters": {"top_k": 0}}, "parameters.top_k"),
        ({"inputs": [[1] * 4], "user": 7}, "user"),
        ({"inputs": [[1] * 4], "store": "no"}, "store"),
    ],
)
def test_a_wrong_body_is_told_where(deployed, body, param):
    answer = deployed.http.post("/v1/deployments/d/predictions", json=body)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)


def test_a_prediction_can_be_read_back(deployed, http):
    made = deployed.predict(2).json
    assert http.get(f"/v1/predictions/{made['id']}").json == made
    assert http.get("/v1/predictions?deployment=d&limit=1").json["data"] == [made]
    assert http.get("/v1/predictions?deployment=e").json["data"] == []


def test_one_that_was_not_to_be_stored_is_not_there(deployed, http):
    made = deployed.predict(1, store=False).json
    answer = http.get(f"/v1/predictions/{made['id']}")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "prediction_not_found")
    assert "store" in answer.json["error"]["message"]


def test_an_array_answers_as_json_does(deployed, send):
    rows = np.array(deployed.rows(5), dtype=np.float32)
    answer = send(rows)
    shares = np.load(io.BytesIO(answer.data))
    plain = deployed.predict(5, parameters={"probabilities": True}).json["outputs"]
    assert (answer.mimetype, shares.dtype, shares.shape) == (NPY, np.float32, (5, 3))
    assert shares == pytest.approx(np.array([o["probabilities"] for o in plain]), abs=1e-6)


def test_an_array_can_be_answered_with_json(deployed, send):
    rows = np.array(deployed.rows(2), dtype=np.float32)
    made = send(rows, accept="*/*", query="?top_k=1&probabilities=true&user=u").json
    assert [len(o["probabilities"]) for o in made["outputs"]] == [3, 3]
    assert [len(o["top"]) for o in made["outputs"]] == [1, 1]


def test_json_can_be_answered_with_an_array(deployed):
    answer = deployed.predict(2, headers={"Accept": NPY})
    assert np.load(io.BytesIO(answer.data)).shape == (2, 3)


def test_the_answer_in_an_array_is_found_by_the_id_in_its_header(deployed, send, http):
    answer = send(np.array(deployed.rows(2)))
    id = answer.headers["x-lmaas-prediction"]
    assert http.get(f"/v1/predictions/{id}").json["model"] == answer.headers["x-lmaas-model"]
    assert deployed.label(id, 2, index=1).status_code == 200


def test_store_false_in_the_query_keeps_nothing(deployed, send, http):
    answer = send(np.array(deployed.rows(1)), query="?store=false")
    assert http.get(f"/v1/predictions/{answer.headers['x-lmaas-prediction']}").status_code == 404


def test_a_bad_row_of_an_array_is_nan_in_the_answer(deployed, send):
    rows = np.array(deployed.rows(3), dtype=np.float32)
    rows[1, 2] = np.nan
    shares = np.load(io.BytesIO(send(rows).data))
    assert np.isnan(shares).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i8", "|u1", "<f2"])
def test_arrays_of_any_numbers_are_taken(send, deployed, dtype):
    rows = np.ones((2, 4)).astype(dtype)
    expected = deployed.http.post(
        "/v1/deployments/d/predictions", json={"inputs": [[1] * 4] * 2}, headers={"Accept": NPY}
    )
    assert send(rows).data == expected.data


def test_an_array_in_fortran_order_means_the_same(deployed, send):
    rows = np.array(deployed.rows(5), dtype=np.float32)
    assert send(np.asfortranarray(rows)).data == send(rows).data


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (npy(np.ones((2, 4)))[:-1], 400),
        (npy(np.ones((2, 4))) + b"x", 400),
        (npy(np.array([{}], dtype=object).astype("U1")), 415),
        (npy(np.ones((2, 4), complex)), 415),
        (npy(np.float32(1.0)), 422),
        (npy(np.ones((0, 4))), 422),
        (npy(np.ones((2, 5))), 422),
        (npy(np.ones((2, 4, 1))), 422),
    ],
)
def test_what_is_no_array_of_rows_is_refused(send, body, status):
    answer = send(body)
    assert answer.status_code == status, answer.json
    assert answer.json["error"]["code"]


def test_an_array_of_objects_is_never_unpickled(send):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    body = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + b"cos\nsystem\n(S'x'\ntR."
    answer = send(body)
    assert (answer.status_code, answer.json["error"]["code"]) == (415, "dtype_unsupported")


@pytest.mark.parametrize("query", ["?top_k=0", "?top_k=x", "?probabilities=maybe", "?topk=1", f"?user={'x' * 257}"])
def test_a_wrong_parameter_in_the_query_is_refused(deployed, send, query):
    assert send(np.array(deployed.rows(1)), query=query).status_code == 422


def test_parameters_of_json_belong_into_the_body(deployed):
    answer = deployed.http.post("/v1/deployments/d/predictions?top_k=1", json={"inputs": [[1] * 4]})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "top_k")


def test_an_unknown_content_type_is_told_what_is_read(deployed):
    answer = deployed.http.post("/v1/deployments/d/predictions", data=b"1,2", content_type="text/csv")
    assert answer.status_code == 415
    assert NPY in answer.json["error"]["message"]


def test_a_repeated_array_is_answered_from_memory(deployed, send):
    rows, key = np.array(deployed.rows(2)), {"Idempotency-Key": "k"}
    first, second = send(rows, **key), send(rows, **key)
    assert (first.data, second.headers["idempotent-replayed"]) == (second.data, "true")
    assert first.headers["x-lmaas-prediction"] == second.headers["x-lmaas-prediction"]


class TestRestarted:
    """The key is older than the process."""

    @pytest.fixture
    def deployed(self, app, classifier, shared):
        """An application of its own."""
        classifier.register(server_of(app))
        asked = type(shared)(app.test_client())
        asked.deploy("blobs")
        return asked

    @pytest.mark.parametrize("accept", ["application/json", NPY])
    def test_a_prediction_is_still_made_once(self, settings, accept, deployed):
        headers = {"Idempotency-Key": "k", "Accept": accept}
        first = deployed.predict(2, headers=headers)
        server_of(deployed.http.application).close()
        again = create_app(Settings(**settings))
        server_of(again).start()
        body = {"inputs": deployed.rows(2)}
        second = again.test_client().post("/v1/deployments/d/predictions", json=body, headers=headers)
        other = again.test_client().post(
            "/v1/deployments/d/predictions", json={"inputs": deployed.rows(3)}, headers=headers
        )
        server_of(again).close()
        assert (first.data, second.headers["idempotent-replayed"]) == (second.data, "true")
        assert (other.status_code, other.json["error"]["code"]) == (409, "idempotency_key_reused")
