"""What every answer has, whatever the route."""

from __future__ import annotations

import pytest

KEYS = {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_path"),
        ("GET", "/v1/jobs/job-none", 404, "job_not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/v1/jobs", 415, "content_type_unsupported"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid_value"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
        ("GET", "/v1/deployments/none", 404, "deployment_not_found"),
        ("GET", "/v1/predictions/none", 404, "prediction_not_found"),
        ("GET", "/v1/feedback/none", 404, "feedback_not_found"),
        ("GET", "/v1/datasets/none", 404, "dataset_not_found"),
    ],
)
def test_every_error_has_four_keys_a_code_and_says_not_to_retry(shared, method, path, status, code):
    answer = shared.http.open(path, method=method)
    assert (answer.status_code, set(answer.json["error"]), answer.json["error"]["code"]) == (status, KEYS, code)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"].startswith("req-")


def test_a_sane_request_id_comes_back(shared):
    answer = shared.http.get("/v1/jobs", headers={"X-Request-Id": "trace-7/a.b"})
    assert answer.headers["x-request-id"] == "trace-7/a.b"


@pytest.mark.parametrize("given", ["a b", "x" * 129, "é", ""])
def test_a_request_id_that_would_spoil_a_log_is_replaced(shared, given):
    answer = shared.http.get("/v1/jobs", headers={"X-Request-Id": given.encode().decode("latin-1")})
    assert answer.headers["x-request-id"].startswith("req-")


def test_a_bug_becomes_a_500_that_names_its_request_and_nothing_else(app, http):
    def bug():
        raise RuntimeError("the secret is out")

    app.add_url_rule("/bug", view_func=bug)
    answer = http.get("/bug")
    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "internal_error"
    assert answer.headers["x-request-id"] in answer.json["error"]["message"]
    assert b"the secret" not in answer.data


def test_a_method_that_is_not_taken_is_told_with_those_that_are(shared):
    answer = shared.http.put("/v1/jobs")
    assert answer.headers["allow"] == "GET, POST"
    assert "GET, POST" in answer.json["error"]["message"]


def test_broken_json_is_malformed_and_not_invalid(shared):
    answer = shared.http.post("/v1/jobs", data=b'{"type": ', content_type="application/json")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "json_invalid")


def test_a_compressed_body_is_refused_and_not_misread(shared):
    answer = shared.http.post(
        "/v1/jobs", data=b"{}", content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json["error"]["code"]) == (415, "content_encoding_unsupported")


def test_an_unknown_filter_is_an_error_and_never_a_silent_everything(shared):
    answer = shared.http.get("/v1/jobs?statsu=running")
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "statsu")
    assert "status" in answer.json["error"]["message"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=ten", "limit=-1", "limit=1.5", "order=up", "limit="])
def test_a_page_out_of_range_is_refused(shared, query):
    answer = shared.http.get(f"/v1/datasets?{query}")
    assert (answer.status_code, answer.json["error"]["param"]) == (422, query.split("=")[0])


def test_a_page_after_an_unknown_id_is_refused(shared):
    answer = shared.http.get("/v1/datasets?after=ds-none")
    assert (answer.status_code, answer.json["error"]["param"]) == (404, "after")


def test_an_empty_list_has_the_shape_of_every_list(http):
    assert http.get("/v1/feedback").json == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize(("order", "expected"), [("asc", ["a", "b", "c"]), ("desc", ["c", "b", "a"])])
def test_pages_cover_a_list_once_in_the_asked_order(ask, http, order, expected):
    for name in "abc":
        ask.upload(ask.npz(x=[[1.0]], y=[0]), name=name)
    seen, after = [], ""
    while True:
        page = http.get(f"/v1/datasets?limit=2&order={order}{after}").json
        seen += [item["name"] for item in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == expected


class TestLimited:
    """With three requests a minute."""

    @pytest.fixture
    def settings(self, tmp_path):
        return {"data_dir": tmp_path / "data", "rate_limit_per_minute": 3, "prewarm": False}

    def test_the_headers_count_down(self, http):
        left = [http.get("/v1/jobs").headers["x-ratelimit-remaining-requests"] for _ in range(3)]
        assert left == ["2", "1", "0"]

    def test_one_too_many_is_told_when_to_come_back(self, http):
        for _ in range(3):
            http.get("/v1/jobs")
        answer = http.get("/v1/jobs")
        assert (answer.status_code, answer.json["error"]["code"]) == (429, "rate_limited")
        assert 0 < int(answer.headers["retry-after-ms"]) <= 20_000
        assert 1 <= int(answer.headers["retry-after"]) <= 21
        assert "x-should-retry" not in answer.headers

    def test_health_is_not_limited(self, http):
        assert {http.get("/healthz").status_code for _ in range(9)} == {200}


class TestSmallBodies:
    """With a body of a MiB at most."""

    @pytest.fixture
    def settings(self, tmp_path):
        return {"data_dir": tmp_path / "data", "max_body_mb": 1, "max_upload_mb": 1, "prewarm": False}

    def test_a_longer_one_is_refused_before_it_is_read(self, http):
        answer = http.post("/v1/jobs", data=b"x" * (2**20 + 1), content_type="application/json")
        assert (answer.status_code, answer.json["error"]["code"]) == (413, "body_too_large")

    def test_a_longer_upload_is_refused_and_leaves_nothing(self, ask, server):
        assert ask.upload(b"x" * 2**20).status_code == 413
        assert not list((server.artifacts.root / ".tmp").iterdir())


def test_a_draining_server_turns_requests_away_for_a_moment(http, server):
    server.drain()
    answer = http.get("/v1/jobs")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "draining")
    assert "retry-after" in answer.headers
    assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (200, 503)


def test_metrics_count_requests_by_operation_and_status(http):
    http.get("/v1/jobs")
    http.get("/v1/jobs/none")
    text = http.get("/metrics").text
    assert 'lmaas_requests_total{operation="job_list",status="200"} 1.0' in text
    assert 'lmaas_requests_total{operation="job_retrieve",status="404"} 1.0' in text
    assert 'lmaas_request_seconds_bucket{le="+Inf",operation="job_list"} 1.0' in text
