"""What jobs are asked for: training, evaluation and update.

Apart from `jobs.py`, so that who watches a job does not load every architecture and optimizer there is.
"""

from typing import Annotated, Literal

from pydantic import Field

from lmaas.types._wire import Metadata, Name, WireRequest
from lmaas.types.architectures import Architecture
from lmaas.types.optimizers import Loss, Optimizer, Schedule
from lmaas.types.policies import Gate, Strategy

Task = Literal["classification", "multilabel_classification", "regression", "generation"]

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Validation(WireRequest):
    """Rows held out of training: a share of the dataset, or a dataset of their own (not both).

    The gate judges by them what an update forgets. Omitted, a tenth is held out; of 1,000 rows or more at least 2,000,
    though never over three tenths.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    dataset: str | None = None


class EarlyStopping(WireRequest):
    """Stop once `metric` on the validation rows has not improved for `patience` epochs; the best epoch is kept."""

    metric: str = "loss"
    patience: Annotated[int, Field(ge=1)] = 3
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class Checkpoints(WireRequest):
    """How often a job writes what it needs to go on after a pause or a crash, and how many it keeps."""

    every_epochs: Annotated[int, Field(ge=1)] = 1
    keep: Annotated[int, Field(ge=1, le=100)] = 2


class TrainingRequest(WireRequest):
    """Train a new version of the model `name` on a dataset."""

    type: Literal["training"] = "training"
    dataset: str
    name: Name
    task: Task | None = None
    architecture: Architecture | None = None
    base_model: str | None = None
    """A model version whose weights are the starting point, of the same architecture."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    gradient_accumulation: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Of language models: batches whose gradients make one step."""
    max_tokens_per_batch: Annotated[int, Field(ge=1)] | None = None
    """Of language models: a batch holds fewer rows where they are long; padding counts."""
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    loss: Loss | None = None
    validation: Validation | None = None
    early_stopping: EarlyStopping | None = None
    checkpoints: Checkpoints | None = None
    seed: Seed | None = None
    metadata: Metadata = {}


class EvaluationRequest(WireRequest):
    """Measure a model version on a dataset."""

    type: Literal["evaluation"] = "evaluation"
    model: str
    dataset: str
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    slice_by: str | None = None
    """A column of the dataset: the metrics come for each of its values too."""
    metadata: Metadata = {}


class UpdateRequest(WireRequest):
    """Learn from the feedback a deployment has collected and promote the result if the gate lets it pass."""

    type: Literal["update"] = "update"
    deployment: str
    strategy: Strategy = "replay_distill"
    optimizer: Optimizer | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Of the strategies `finetune`, `retrain` and `consolidate`; of language models of every one."""
    kl_budget: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Of language models that learn from preferences or ratings: nats a text by which the candidate may differ from the
    champion; learning ends where they are spent. Omitted, 8."""
    beta: Annotated[float, Field(gt=0, le=100)] | None = None
    """Of the same: how dear a nat is against the wish to please, as in DPO and KTO. Omitted, 0.1."""
    gate: Gate | None = None
    max_source_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How much of what is learned from and judged by may come from one `source`, where several speak: what a source
    says beyond it is left out, counted in the result as `capped`, and waits for the next update. Up to 32 items of a
    source are always taken; items without a source are not limited. 1 is no limit."""
    promote: Literal["auto", "canary", "manual"] = "auto"
    canary_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of `promote: canary`: the fraction of all the traffic that the candidate answers. Omitted, 0.1."""
    dry_run: bool = False
    seed: Seed | None = None
    metadata: Metadata = {}


JobRequest = Annotated[TrainingRequest | EvaluationRequest | UpdateRequest, Field(discriminator="type")]
