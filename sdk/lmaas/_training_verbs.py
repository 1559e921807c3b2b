"""The verbs that start a job: train, evaluate, update. Knows no transport and no settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, Unpack

from lmaas import resources, types
from lmaas._encode import checked
from lmaas._flow import DriverT, Resource, endpoint
from lmaas._request import CallOptions, Flow, Progress
from lmaas.resources._ids import DatasetRef, DeploymentRef, ModelRef, derived, id_of, model_id

if TYPE_CHECKING:
    from lmaas._examples import Examples


class TrainingVerbs(Resource[DriverT], Generic[DriverT]):
    """Train, evaluate, update: each starts a job and returns it at once."""

    @endpoint
    def train(
        self,
        dataset: DatasetRef | Examples,
        *,
        name: str,
        target: types.TargetSpec | dict[str, Any] | str | None = None,
        input: types.InputSpec | dict[str, Any] | str | None = None,
        task: Literal["classification", "multilabel_classification", "regression", "generation"] | None = None,
        architecture: types.Architecture | dict[str, Any] | str | None = None,
        base_model: ModelRef | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        gradient_accumulation: int | None = None,
        max_tokens_per_batch: int | None = None,
        optimizer: types.Optimizer | dict[str, Any] | str | None = None,
        schedule: types.Schedule | dict[str, Any] | str | None = None,
        loss: types.Loss | dict[str, Any] | str | None = None,
        validation: types.Validation | dict[str, Any] | None = None,
        early_stopping: types.EarlyStopping | dict[str, Any] | None = None,
        checkpoints: types.Checkpoints | dict[str, Any] | None = None,
        seed: int | None = None,
        metadata: dict[str, str] | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Job]:
        """Start training a new version of the model `name`; `client.jobs.wait(job).model` is its id.

        What is left out, the server fills in with a sound default for the task and shows in `job.request`.

        Args:
            dataset: A dataset or its id; or examples, which are uploaded first: a path, bytes, (x, y) arrays of
                n rows each (or texts, or dicts), a data frame with `target=`, or a list of (x, y) rows or of dicts.
            name: Of the model; its first version is `NAME@1`.
            target: Of examples: "class" or "value", or the name of the column that holds them; see `datasets.create`.
            input: Of examples: what the inputs are, such as `ImageInput(size=(28, 28))` or "tensor".
            task: "classification" or "regression"; omitted, told from the targets.
            architecture: `MLP(hidden=(512, 512))`, `CNN(...)`, or a word alone: "mlp".
            base_model: A version of the same architecture whose weights are the starting point; of a language model
                also one of `client.base_models.list()`.
            epochs: Passes over the training rows.
            batch_size: Rows in one step.
            gradient_accumulation: Of language models: batches whose gradients make one step.
            max_tokens_per_batch: Of language models: a batch holds fewer rows where they are long.
            optimizer: `Adam(lr=1e-3)`, `AdamW`, `SGD`, `RMSprop`, or a word alone: "adam".
            schedule: `OneCycle(max_lr=3e-3)`, `CosineSchedule(...)`, ...
            loss: `CrossEntropy(label_smoothing=0.1)`, `MSE()`, ...
            validation: `Validation(fraction=0.1)` or `Validation(dataset="ds-...")`. Omitted, a tenth; of 1,000 rows or
                more at least 2,000, though never over three tenths: the gate of updates judges by them.
            early_stopping: `EarlyStopping(metric="loss", patience=3)`; the best epoch is kept.
            checkpoints: How often, and how many are kept.
            seed: Same data, same request, same seed: the same weights, bit for bit.
            metadata: Up to 32 free words stored with the job.
            on_progress: Of an upload: called with the bytes sent so far and the bytes there are.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            InvalidRequestError: An argument is wrong; it is named, and nothing was sent.
            UnprocessableEntityError: The data or the plan do not fit; `param` names the place.
        """
        # Checked with a stand-in first, so that a misspelt field is found before a gigabyte has been uploaded.
        request = checked(
            types.TrainingRequest,
            dataset="ds-",
            name=name,
            task=task,
            architecture=architecture,
            base_model=None if base_model is None else model_id(base_model),
            epochs=epochs,
            batch_size=batch_size,
            gradient_accumulation=gradient_accumulation,
            max_tokens_per_batch=max_tokens_per_batch,
            optimizer=optimizer,
            schedule=schedule,
            loss=loss,
            validation=validation,
            early_stopping=early_stopping,
            checkpoints=checkpoints,
            seed=seed,
            metadata=metadata,
        )
        ident = yield from resources.datasets.dataset_id(
            dataset, target=target, input=input, on_progress=on_progress, options=derived(options, "dataset")
        )
        return (yield from resources.jobs.created(request.model_copy(update={"dataset": ident}), options))

    @endpoint
    def evaluate(
        self,
        model: ModelRef,
        dataset: DatasetRef | Examples,
        *,
        target: types.TargetSpec | dict[str, Any] | str | None = None,
        input: types.InputSpec | dict[str, Any] | str | None = None,
        batch_size: int | None = None,
        slice_by: str | None = None,
        metadata: dict[str, str] | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Job]:
        """Start measuring a version on examples it should know; `client.jobs.wait(job).metrics` holds the figures.

        Args:
            model: The version, its id, or the job that made it.
            dataset: A dataset or its id; or examples in any form, see `train`.
            target: Of examples, see `train`.
            input: Of examples, see `train`.
            batch_size: Rows computed together.
            slice_by: A column of the dataset, for metrics of the rows of each of its values (`metrics["slices"]`).
            metadata: Up to 32 free words stored with the job.
            on_progress: Of an upload: called with the bytes sent so far and the bytes there are.
            **options: extra_headers, timeout, idempotency_key.
        """
        request = checked(
            types.EvaluationRequest,
            model=model_id(model),
            dataset="ds-",
            batch_size=batch_size,
            slice_by=slice_by,
            metadata=metadata,
        )
        ident = yield from resources.datasets.dataset_id(
            dataset, target=target, input=input, on_progress=on_progress, options=derived(options, "dataset")
        )
        return (yield from resources.jobs.created(request.model_copy(update={"dataset": ident}), options))

    @endpoint
    def update(
        self,
        deployment: DeploymentRef,
        *,
        strategy: Literal["replay_distill", "finetune", "retrain", "consolidate"] | None = None,
        optimizer: types.Optimizer | dict[str, Any] | str | None = None,
        epochs: int | None = None,
        kl_budget: float | None = None,
        beta: float | None = None,
        gate: types.Gate | dict[str, Any] | None = None,
        max_source_share: float | None = None,
        promote: Literal["auto", "canary", "manual"] | None = None,
        canary_share: float | None = None,
        dry_run: bool | None = None,
        seed: int | None = None,
        metadata: dict[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Job]:
        """Start learning from the feedback a deployment has collected; the result serves if the gate lets it pass.

        `client.jobs.wait(job).result` tells whether it was promoted, and why.

        Args:
            deployment: The deployment or its name.
            strategy: `replay_distill` (the default: learns the new without forgetting the old), `finetune` (forgets),
                `retrain` (from scratch, on the data and all feedback that still stands), `consolidate`.
            optimizer: As for `train`.
            epochs: Of the strategies `finetune`, `retrain` and `consolidate`; of language models of every one.
            kl_budget: Of language models that learn from preferences or ratings: nats a text by which the candidate
                may differ from the champion; omitted, 8.
            beta: Of the same: how dear a nat is against the wish to please; omitted, 0.1.
            gate: What the candidate must show; `Gate(enabled=False)` lets everything pass.
            max_source_share: How much of the feedback may come from one `source` where several speak, by default a
                half; what is beyond is counted in the result as `capped` and waits. 1 is no limit.
            promote: At once, as a canary, or by hand; `client.deployments.promote` makes a canary, or what waits for a
                hand, the champion.
            canary_share: The fraction of the traffic that a canary answers, by default 0.1.
            dry_run: Learn and measure, and change nothing.
            seed: Same feedback, same request, same seed: the same weights.
            metadata: Up to 32 free words stored with the job.
            **options: extra_headers, timeout, idempotency_key.
        """
        request = checked(
            types.UpdateRequest,
            deployment=id_of(deployment),
            strategy=strategy,
            optimizer=optimizer,
            epochs=epochs,
            kl_budget=kl_budget,
            beta=beta,
            gate=gate,
            max_source_share=max_source_share,
            promote=promote,
            canary_share=canary_share,
            dry_run=dry_run,
            seed=seed,
            metadata=metadata,
        )
        return resources.jobs.created(request, options)
