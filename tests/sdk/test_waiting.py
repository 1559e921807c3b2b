"""Waiting for jobs and deployments, by feeding the flow: polls that grow apart and survive what passes."""

from __future__ import annotations

import pytest
from sdk_samples import DEPLOYMENT, JOB, answer, finish

from lmaas import (
    APIConnectionError,
    DeploymentFailedError,
    InternalServerError,
    JobFailedError,
    JobTimeoutError,
    NotFoundError,
)
from lmaas._request import Now, Request, Sleep, TransportError
from lmaas._stream import Emit
from lmaas.resources._deploying import awaited
from lmaas.resources._waiting import PATIENCE, poll_delay, settled, waited, waited_all

DONE = JOB | {"status": "succeeded", "model": "digits@1"}
FAILED = JOB | {"status": "failed", "error": {"code": "diverged", "message": "the loss is not finite"}}
LOST = TransportError("connect", "refused")


def wait(timeout=None, raise_on_failure=True):
    flow = waited("job-1", timeout=timeout, progress=False, raise_on_failure=raise_on_failure, options={})
    assert next(flow) == Now()
    return flow


def test_polls_begin_at_half_a_second_and_grow_to_ten():
    assert [poll_delay(n) for n in (0, 1, 2)] == [0.5, 0.75, 1.125]
    assert poll_delay(8) == poll_delay(10_000) == 10.0


def test_it_asks_sleeps_and_asks_again_until_the_job_has_ended():
    flow = wait()
    assert flow.send(0.0) == Request("GET", "/v1/jobs/job-1")
    assert flow.send(answer(JOB)) == Sleep(0.5)
    assert flow.send(None) == Request("GET", "/v1/jobs/job-1")
    assert finish(flow, answer(DONE)).model == "digits@1"


def expecting(seconds):
    return answer(JOB | {"progress": JOB["progress"] | {"eta_seconds": seconds}})


def test_it_asks_when_the_job_expects_to_end_where_that_is_sooner():
    flow = wait()
    flow.send(0.0)
    assert flow.send(expecting(30.0)) == Sleep(0.5)
    flow.send(None)
    assert flow.send(expecting(0.25)) == Sleep(0.25)
    flow.send(None)
    assert flow.send(answer(JOB)) == Sleep(1.125)


def test_a_job_that_is_late_is_asked_again_after_a_tenth_of_the_time_waited():
    """The estimate ends with the last step; what is done after it, nobody foresees."""
    flow = wait()
    flow.send(0.0)
    assert flow.send(expecting(0.0)) == Sleep(0.05)
    flow.send(None)
    assert flow.send(expecting(2.95)) == Sleep(0.75)
    flow.send(None)
    assert flow.send(expecting(0.0)).seconds == pytest.approx(0.08)


def test_the_estimate_of_a_job_that_does_not_run_says_nothing():
    flow = wait()
    flow.send(0.0)
    paused = JOB | {"status": "paused", "progress": JOB["progress"] | {"eta_seconds": 0.0}}
    assert flow.send(answer(paused)) == Sleep(0.5)


def test_a_failed_job_raises_with_its_reason():
    flow = wait()
    flow.send(0.0)
    with pytest.raises(JobFailedError, match=r"job-1 failed: the loss is not finite") as caught:
        flow.send(answer(FAILED))
    assert (caught.value.job.id, caught.value.code) == ("job-1", "diverged")


def test_a_cancelled_job_raises():
    flow = wait()
    flow.send(0.0)
    with pytest.raises(JobFailedError, match="was cancelled"):
        flow.send(answer(JOB | {"status": "cancelled"}))


def test_a_failed_job_is_returned_where_that_is_wanted():
    flow = wait(raise_on_failure=False)
    flow.send(0.0)
    assert finish(flow, answer(FAILED)).status == "failed"


@pytest.mark.parametrize("outcome", [LOST, answer(status=500), answer(status=429), answer(status=503)])
def test_a_poll_that_fails_in_passing_does_no_harm(outcome):
    flow = wait()
    flow.send(0.0)
    assert flow.send(outcome) == Sleep(0.5)
    flow.send(None)
    assert finish(flow, answer(DONE)).status == "succeeded"


def test_a_job_that_is_gone_raises_at_once():
    flow = wait()
    flow.send(0.0)
    with pytest.raises(NotFoundError):
        flow.send(answer(status=404))


def test_patience_ends_when_every_poll_fails():
    flow = wait()
    flow.send(0.0)
    for _ in range(PATIENCE):
        assert isinstance(flow.send(LOST), Sleep)
        flow.send(None)
    with pytest.raises(APIConnectionError):
        flow.send(LOST)


def test_the_wait_ends_at_its_timeout_and_says_what_it_saw():
    flow = wait(timeout=2.0)
    flow.send(0.0)
    assert flow.send(answer(JOB)) == Now()
    assert flow.send(1.75) == Sleep(0.25)
    flow.send(None)
    flow.send(answer(JOB))
    with pytest.raises(JobTimeoutError, match=r"job-1 \(last seen running\) has not ended within 2 s; it goes on"):
        flow.send(2.0)


def test_a_job_timeout_is_a_timeout_error():
    assert issubclass(JobTimeoutError, TimeoutError)


def two(**settings):
    flow = waited_all(
        ["job-1", "job-2"], timeout=None, progress=False, options={}, **{"raise_on_failure": True, **settings}
    )
    next(flow)
    return flow


def test_wait_all_polls_only_those_that_have_not_ended_and_keeps_their_order():
    flow = two()
    assert flow.send(0.0).path == "/v1/jobs/job-1"
    assert flow.send(answer(JOB)).path == "/v1/jobs/job-2"
    assert flow.send(answer(DONE | {"id": "job-2"})) == Sleep(0.5)
    assert flow.send(None).path == "/v1/jobs/job-1"
    assert [job.id for job in finish(flow, answer(DONE))] == ["job-1", "job-2"]


def test_wait_all_asks_when_the_first_expects_to_end():
    flow = two()
    flow.send(0.0)
    flow.send(expecting(0.3))
    assert flow.send(answer(JOB | {"id": "job-2"})) == Sleep(0.3)


def test_wait_all_raises_for_a_failed_job_once_all_have_ended():
    flow = two()
    flow.send(0.0)
    flow.send(answer(FAILED))
    with pytest.raises(JobFailedError, match="job-1"):
        flow.send(answer(DONE | {"id": "job-2"}))


def test_as_completed_gives_each_job_as_it_ends_also_a_failed_one():
    flow = settled(["job-1", "job-2"], timeout=None, progress=False, options={})
    next(flow)
    flow.send(0.0)
    flow.send(answer(JOB))
    emitted = flow.send(answer(FAILED | {"id": "job-2"}))
    assert isinstance(emitted, Emit)
    assert (emitted.item.id, emitted.item.status) == ("job-2", "failed")


def test_a_function_is_told_of_every_poll():
    seen = []
    flow = waited("job-1", timeout=None, progress=seen.append, raise_on_failure=True, options={})
    next(flow)
    flow.send(0.0), flow.send(answer(JOB)), flow.send(None)
    finish(flow, answer(DONE))
    assert [job.status for job in seen] == ["running", "succeeded"]


def test_a_deployment_is_asked_for_after_50_ms_and_then_more_seldom():
    flow = awaited("reader", timeout=None, options={})
    next(flow)
    starting = answer(DEPLOYMENT | {"status": "starting"})
    slept = []
    flow.send(0.0)
    for _ in range(3):
        assert flow.send(starting) == Now()
        slept.append(flow.send(0.0).seconds)
        flow.send(None)
    assert slept == pytest.approx([0.05, 0.075, 0.1125])
    assert finish(flow, answer(DEPLOYMENT)).status == "ready"


def test_a_deployment_that_failed_raises_with_its_reason():
    flow = awaited("reader", timeout=None, options={})
    next(flow)
    flow.send(0.0)
    with pytest.raises(DeploymentFailedError, match="reader is failed: out of memory"):
        flow.send(answer(DEPLOYMENT | {"status": "failed", "error": {"message": "out of memory"}}))


def test_a_deployment_that_is_not_ready_in_time_raises():
    flow = awaited("reader", timeout=1.0, options={})
    next(flow)
    flow.send(0.0)
    flow.send(answer(DEPLOYMENT | {"status": "starting"}))
    with pytest.raises(DeploymentFailedError, match="still starting after 1 s"):
        flow.send(1.0)


def test_an_internal_error_while_a_deployment_starts_is_raised():
    flow = awaited("reader", timeout=1.0, options={})
    next(flow)
    flow.send(0.0)
    with pytest.raises(InternalServerError):
        flow.send(answer(status=500))
