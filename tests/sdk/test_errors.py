"""The error tree: which answer raises what, what it carries, that it pickles and tells no secret."""

from __future__ import annotations

import pickle

import pytest
from sdk_samples import DEPLOYMENT, JOB, answer

import lmaas
from lmaas import errors
from lmaas._decode import answered, decode
from lmaas._request import Request, TransportError, Upload
from lmaas.types import Deployment, Job

REQUEST = Request(
    "POST",
    "/v1/jobs",
    body=b'{"a": "it\'s"}',
    headers={"content-type": "application/json"},
    options={"extra_headers": {"Authorization": "Bearer sk-secret", "X-Api-Key": "sk-secret", "x-tag": "t"}},
)
SECRET = "sk-secret"


def raised(outcome, request=REQUEST):
    with pytest.raises(lmaas.APIError) as caught:
        answered(outcome, request)
    return caught.value


def refusal(status=422, **headers):
    document = {"error": {"message": "no such field", "type": "invalid", "param": "epochs", "code": "unknown_field"}}
    return answer(document, status, x_request_id="req-7", **headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, lmaas.BadRequestError),
        (401, lmaas.AuthenticationError),
        (403, lmaas.PermissionDeniedError),
        (404, lmaas.NotFoundError),
        (409, lmaas.ConflictError),
        (413, lmaas.PayloadTooLargeError),
        (422, lmaas.UnprocessableEntityError),
        (429, lmaas.RateLimitError),
        (500, lmaas.InternalServerError),
        (503, lmaas.InternalServerError),
        (302, lmaas.APIStatusError),
        (418, lmaas.APIStatusError),
    ],
)
def test_each_status_has_its_error(status, kind):
    error = raised(answer(status=status))
    assert (type(error), error.status) == (kind, status)


def test_a_status_error_carries_what_the_server_said():
    error = raised(refusal(retry_after="90"))
    assert (error.code, error.param, error.type, error.request_id) == ("unknown_field", "epochs", "invalid", "req-7")
    assert (error.retry_after, error.headers["retry-after"]) == (90.0, "90")


def test_str_names_the_request_id():
    assert str(raised(refusal())) == "no such field (422, unknown_field, request id: req-7)"


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[]", b'{"error": 3}', b"\xff", b"null"])
def test_a_body_that_is_not_ours_is_still_an_error(body):
    error = raised(answer(body, 502))
    assert isinstance(error, lmaas.InternalServerError)
    assert "502" in str(error)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("connect", lmaas.APIConnectionError),
        ("read", lmaas.APIConnectionError),
        ("protocol", lmaas.APIConnectionError),
        ("timeout", lmaas.APITimeoutError),
        ("deadline", lmaas.APITimeoutError),
    ],
)
def test_each_failure_of_the_wire_has_its_error(kind, error):
    cause = OSError("reset")
    found = raised(TransportError(kind, "gone", "http://h/v1/jobs", cause))
    assert (type(found), found.__cause__) == (error, cause)


def test_a_timeout_is_a_timeout_error():
    assert issubclass(lmaas.APITimeoutError, TimeoutError)
    assert issubclass(lmaas.InvalidRequestError, ValueError)


def test_a_success_of_a_wrong_shape_raises_with_the_body_at_hand():
    with pytest.raises(lmaas.APIResponseValidationError, match=r"no Job: progress") as caught:
        decode(answer(JOB | {"progress": 3}, x_request_id="req-7"), REQUEST, Job)
    assert b'"progress": 3' in caught.value.body
    assert (caught.value.status, caught.value.request_id) == (200, "req-7")


def test_unknown_fields_and_words_of_a_newer_server_are_kept():
    job = decode(answer(JOB | {"status": "hibernating", "mood": "good"}), REQUEST, Job)
    assert (job.status, job.model_extra) == ("hibernating", {"mood": "good"})


def test_as_curl_can_be_pasted_and_holds_no_secret():
    curl = raised(refusal(), REQUEST).as_curl()
    assert curl.startswith("curl -X POST /v1/jobs")
    assert '-H "Authorization: Bearer $LMAAS_API_KEY"' in curl
    assert '--data-binary \'{"a": "it\'"\'"\'s"}\'' in curl
    assert SECRET not in curl


def test_a_url_is_shown_without_user_and_token():
    error = raised(TransportError("read", "gone", "http://me:sk-secret@h/v1?token=sk-secret&a=1"))
    assert SECRET not in error.as_curl()
    assert "a=1" in error.as_curl()


def test_an_upload_is_shown_by_its_name():
    assert "@digits.npz" in raised(refusal(), Request("POST", "/", body=Upload("digits.npz", b"x", 1))).as_curl()


SAMPLES = [
    raised(refusal()),
    raised(TransportError("timeout", "late", cause=OSError())),
    errors.APIResponseValidationError("bad", status=200, body=b"x", request_id="req-7"),
    errors.ChecksumError("other bytes"),
    errors.InvalidRequestError("wrong", param="epochs"),
    errors.JobFailedError("failed", job=Job.model_validate(JOB)),
    errors.JobTimeoutError("late", job=Job.model_validate(JOB)),
    errors.DeploymentFailedError("failed", deployment=Deployment.model_validate(DEPLOYMENT)),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_pickles_with_all_it_carries(error):
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
    assert SECRET not in repr(error.__dict__)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_has_the_four_facts(error):
    assert all(hasattr(error, name) for name in ("status", "code", "param", "request_id"))
    assert isinstance(error, lmaas.LMaaSError)
