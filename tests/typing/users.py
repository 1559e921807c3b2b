"""The types users see, for both clients: checked by mypy --strict and pyright strict, and never run."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar, assert_type

from lmaas import (
    AsyncFeedbackBuffer,
    AsyncItems,
    AsyncLMaaS,
    AsyncStream,
    FeedbackBuffer,
    FeedbackItemError,
    Items,
    LMaaS,
    RawResponse,
    Stream,
)
from lmaas.types import (
    Checkpoint,
    Dataset,
    DatasetRow,
    Deleted,
    Deployment,
    DeploymentEvent,
    DeploymentRevision,
    DeploymentStats,
    Explanation,
    Feedback,
    Gate,
    Guard,
    GuardSpec,
    Job,
    JobEvent,
    JobTrigger,
    Lineage,
    Model,
    Page,
    Prediction,
    UpdatePolicy,
    UpdatePolicySpec,
)

T = TypeVar("T")
Awaitable: TypeAlias = Coroutine[Any, Any, T]


def blocking_verbs(client: LMaaS) -> None:
    assert_type(client.train("ds-1", name="digits", epochs=5, timeout=None), Job)
    assert_type(client.evaluate("digits@1", "ds-1"), Job)
    assert_type(client.deploy("digits@1", name="reader", idempotency_key="k"), Deployment)
    assert_type(client.predict("reader", [[1, 2]], top_k=3, extra_headers={"a": "b"}), Prediction)
    assert_type(client.explain("reader", [[1, 2]], target="7", method="saliency"), Explanation)
    assert_type(client.update("reader", strategy="retrain"), Job)
    assert_type(client.update("reader", kl_budget=4.0, beta=0.2), Job)
    assert_type(client.feedback("pred-1", labels=[1]), list[Feedback])
    assert_type(client.feedback("pred-1", preferred="pred-2"), list[Feedback])
    assert_type(client.feedback("pred-1", preferred={"chosen": "a", "rejected": "b"}), list[Feedback])
    policy = UpdatePolicySpec(min_feedback=100, promote="canary", gate=Gate(significance=0.01))
    assert_type(client.deploy("digits@1", name="reader", update_policy=policy), Deployment)
    assert_type(client.deployments.update("reader", update_policy=None, guard=GuardSpec()), Deployment)


async def async_verbs(client: AsyncLMaaS) -> None:
    assert_type(await client.train("ds-1", name="digits"), Job)
    assert_type(await client.evaluate("digits@1", "ds-1"), Job)
    assert_type(await client.deploy("digits@1", name="reader"), Deployment)
    assert_type(await client.predict("reader", [[1, 2]]), Prediction)
    assert_type(await client.explain("reader", [[1, 2]]), Explanation)
    assert_type(await client.update("reader"), Job)
    assert_type(await client.update("reader", kl_budget=4.0, beta=0.2), Job)
    assert_type(await client.feedback("pred-1", preferred=[None, {"chosen": "a", "rejected": "b"}]), list[Feedback])
    policy = {"every_seconds": 3600, "on_drift": True}
    assert_type(await client.deploy("digits@1", name="reader", update_policy=policy), Deployment)
    assert_type(await client.deployments.update("reader", update_policy=policy, guard={"max_p99_ms": 9}), Deployment)
    assert_type(await client.feedback("pred-1", ratings=[1]), list[Feedback])
    assert_type(await client.models.lineage("digits@3"), Lineage)
    call = client.jobs.retrieve("job-1")
    await assert_type(call, Awaitable[Job])


def blocking_nouns(client: LMaaS, job: Job, model: Model, deployment: Deployment) -> None:
    assert_type(client.datasets.create(b"", name="digits"), Dataset)
    assert_type(client.datasets.rows("ds-1"), tuple[DatasetRow, ...])
    assert_type(client.datasets.content("ds-1"), bytes)
    assert_type(client.jobs.retrieve(job), Job)
    assert_type(client.jobs.wait(job, progress=True), Job)
    assert_type(client.jobs.wait_all([job, "job-2"]), tuple[Job, ...])
    assert_type(client.jobs.checkpoints(job), Sequence[Checkpoint])
    assert_type(client.models.retrieve(model), Model)
    assert_type(client.models.weights(job), bytes)
    assert_type(client.models.lineage("digits@3"), Lineage)
    assert_type(client.models.set_alias("digits", "best", 1), Model)
    assert_type(client.deployments.rollback(deployment), Deployment)
    assert_type(client.deployments.promote(deployment, model, reason="proven"), Deployment)
    assert_type(deployment.update_policy, UpdatePolicy | None)
    assert_type(deployment.guard, Guard | None)
    assert_type(job.trigger, JobTrigger | None)
    assert_type(client.deployments.stats(deployment, window="5m"), DeploymentStats)
    assert_type(client.predictions.retrieve("pred-1"), Prediction)
    assert_type(client.predictions.delete("pred-1"), Deleted)
    assert_type(client.feedback.retract("fb-1"), Deleted)


def blocking_lists_and_streams(client: LMaaS) -> None:
    jobs = client.jobs.list(status="running", limit=10)
    assert_type(jobs, Items[Job])
    assert_type(jobs.page(), Page[Job])
    for job in jobs:
        assert_type(job, Job)
    assert_type(client.deployments.revisions("reader"), Items[DeploymentRevision])
    assert_type(client.feedback.list(applied=False), Items[Feedback])
    with client.jobs.events("job-1", follow=True) as events:
        assert_type(events, Stream[JobEvent])
        for event in events:
            assert_type(event, JobEvent)
    assert_type(client.jobs.as_completed(["job-1"]), Stream[Job])
    assert_type(client.deployments.events("reader", follow=True), Stream[DeploymentEvent])
    assert_type(client.deployments.follow_stats("reader", window=60), Stream[DeploymentStats])


async def async_lists_and_streams(client: AsyncLMaaS) -> None:
    models = client.models.list(name="digits")
    assert_type(models, AsyncItems[Model])
    assert_type(await models.page(), Page[Model])
    async for model in models:
        assert_type(model, Model)
    async with client.jobs.events("job-1", follow=True) as events:
        assert_type(events, AsyncStream[JobEvent])
        async for event in events:
            assert_type(event, JobEvent)
    assert_type(await client.deployments.stats("reader"), DeploymentStats)
    assert_type(await client.deployments.promote("reader"), Deployment)
    assert_type(client.deployments.events("reader"), AsyncStream[DeploymentEvent])
    async for stats in client.deployments.follow_stats("reader"):
        assert_type(stats, DeploymentStats)
    async for job in client.jobs.as_completed(["job-1"]):
        assert_type(job, Job)
    assert_type(await client.jobs.wait_all(["job-1"]), tuple[Job, ...])


def blocking_raw(client: LMaaS) -> None:
    raw = client.jobs.with_raw_response.retrieve("job-1")
    assert_type(raw, RawResponse[Job])
    assert_type(raw.parse(), Job)
    assert_type(raw.headers, dict[str, str])
    assert_type(client.jobs.with_raw_response.list(), RawResponse[Page[Job]])
    assert_type(client.with_raw_response.predict("reader", [[1]]), RawResponse[Prediction])
    assert_type(client.feedback.with_raw_response("pred-1", labels=1), RawResponse[list[Feedback]])


async def async_raw(client: AsyncLMaaS) -> None:
    assert_type(await client.jobs.with_raw_response.retrieve("job-1"), RawResponse[Job])
    assert_type(await client.jobs.with_raw_response.list(), RawResponse[Page[Job]])
    assert_type(await client.with_raw_response.jobs.cancel("job-1"), RawResponse[Job])
    assert_type(await client.feedback.with_raw_response("pred-1", labels=1), RawResponse[list[Feedback]])


def blocking_buffer(client: LMaaS, prediction: Prediction) -> None:
    with client.feedback.buffer(max_items=100, max_age=0.5, source="app") as send:
        assert_type(send, FeedbackBuffer)
        send(prediction, labels=[1, None], source="ann")
        assert_type(send.errors, tuple[FeedbackItemError, ...])
        send.flush()
    assert_type(client.feedback.list(applied="digits@3", kind="label", source="ann"), Items[Feedback])


async def async_buffer(client: AsyncLMaaS, prediction: Prediction) -> None:
    async with client.feedback.buffer(on_error=print) as send:
        assert_type(send, AsyncFeedbackBuffer)
        await send(prediction, ratings=[1, -1])
        await send.flush()


def clients(blocking: LMaaS, awaited: AsyncLMaaS) -> None:
    assert_type(blocking.with_options(timeout=3.0, max_retries=0), LMaaS)
    assert_type(awaited.with_options(deadline=None), AsyncLMaaS)
    with blocking as entered:
        assert_type(entered, LMaaS)


def mistakes_are_found(client: LMaaS) -> None:
    client.jobs.retrieve("job-1", timeot=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.train("ds-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.jobs.list(status="runing")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.update("reader", strategy=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with client.feedback.buffer() as send:
        send("pred-1", lables=[1])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.deployments.update("reader", update_policy=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    UpdatePolicySpec(promote="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.jobs.retrieve(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
