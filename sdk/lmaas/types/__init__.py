"""The wire contract: every request and response as a type, one file per noun.

Names are loaded when they are first used (PEP 562), so that making a client does not wait for pydantic.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it as true; importing `typing` for it would cost 10 ms
if TYPE_CHECKING:
    from lmaas.types._wire import Label, Metadata, Name, WireObject, WireRequest
    from lmaas.types.architectures import CNN, MLP, Architecture
    from lmaas.types.datasets import (
        Dataset,
        DatasetCreate,
        DatasetInput,
        DatasetRow,
        DatasetTarget,
        ImageInput,
        InputSpec,
        TargetSpec,
        TensorInput,
    )
    from lmaas.types.deployments import (
        Batching,
        BatchingSpec,
        Deployment,
        DeploymentCreate,
        DeploymentRevision,
        DeploymentUpdate,
        RollbackRequest,
        UpdatePolicy,
        Variant,
        VariantSpec,
    )
    from lmaas.types.feedback import Feedback, FeedbackBatch, FeedbackItem
    from lmaas.types.jobs import (
        Checkpoint,
        Checkpoints,
        EarlyStopping,
        EvaluationRequest,
        Gate,
        Job,
        JobError,
        JobEvent,
        JobProgress,
        JobRequest,
        TrainingRequest,
        UpdateRequest,
        Validation,
    )
    from lmaas.types.lists import Deleted, ErrorBody, ErrorDetail, Page
    from lmaas.types.models import AliasSet, Lineage, Model
    from lmaas.types.optimizers import (
        MAE,
        MSE,
        SGD,
        Adam,
        AdamW,
        ConstantSchedule,
        CosineSchedule,
        CrossEntropy,
        Huber,
        LinearSchedule,
        Loss,
        OneCycle,
        Optimizer,
        RMSprop,
        Schedule,
        StepSchedule,
    )
    from lmaas.types.predictions import (
        Output,
        Prediction,
        PredictionParameters,
        PredictionRequest,
        RowError,
        ScoredLabel,
    )

__all__ = [
    "CNN",
    "MAE",
    "MLP",
    "MSE",
    "SGD",
    "Adam",
    "AdamW",
    "AliasSet",
    "Architecture",
    "Batching",
    "BatchingSpec",
    "Checkpoint",
    "Checkpoints",
    "ConstantSchedule",
    "CosineSchedule",
    "CrossEntropy",
    "Dataset",
    "DatasetCreate",
    "DatasetInput",
    "DatasetRow",
    "DatasetTarget",
    "Deleted",
    "Deployment",
    "DeploymentCreate",
    "DeploymentRevision",
    "DeploymentUpdate",
    "EarlyStopping",
    "ErrorBody",
    "ErrorDetail",
    "EvaluationRequest",
    "Feedback",
    "FeedbackBatch",
    "FeedbackItem",
    "Gate",
    "Huber",
    "ImageInput",
    "InputSpec",
    "Job",
    "JobError",
    "JobEvent",
    "JobProgress",
    "JobRequest",
    "Label",
    "Lineage",
    "LinearSchedule",
    "Loss",
    "Metadata",
    "Model",
    "Name",
    "OneCycle",
    "Optimizer",
    "Output",
    "Page",
    "Prediction",
    "PredictionParameters",
    "PredictionRequest",
    "RMSprop",
    "RollbackRequest",
    "RowError",
    "Schedule",
    "ScoredLabel",
    "StepSchedule",
    "TargetSpec",
    "TensorInput",
    "TrainingRequest",
    "UpdatePolicy",
    "UpdateRequest",
    "Validation",
    "Variant",
    "VariantSpec",
    "WireObject",
    "WireRequest",
]

_NAMES = {
    "lmaas.types._wire": (
        "Label",
        "Metadata",
        "Name",
        "WireObject",
        "WireRequest",
    ),
    "lmaas.types.architectures": (
        "Architecture",
        "CNN",
        "MLP",
    ),
    "lmaas.types.datasets": (
        "Dataset",
        "DatasetCreate",
        "DatasetInput",
        "DatasetRow",
        "DatasetTarget",
        "ImageInput",
        "InputSpec",
        "TargetSpec",
        "TensorInput",
    ),
    "lmaas.types.deployments": (
        "Batching",
        "BatchingSpec",
        "Deployment",
        "DeploymentCreate",
        "DeploymentRevision",
        "DeploymentUpdate",
        "RollbackRequest",
        "UpdatePolicy",
        "Variant",
        "VariantSpec",
    ),
    "lmaas.types.feedback": (
        "Feedback",
        "FeedbackBatch",
        "FeedbackItem",
    ),
    "lmaas.types.jobs": (
        "Checkpoint",
        "Checkpoints",
        "EarlyStopping",
        "EvaluationRequest",
        "Gate",
        "Job",
        "JobError",
        "JobEvent",
        "JobProgress",
        "JobRequest",
        "TrainingRequest",
        "UpdateRequest",
        "Validation",
    ),
    "lmaas.types.lists": (
        "Deleted",
        "ErrorBody",
        "ErrorDetail",
        "Page",
    ),
    "lmaas.types.models": (
        "AliasSet",
        "Lineage",
        "Model",
    ),
    "lmaas.types.optimizers": (
        "Adam",
        "AdamW",
        "ConstantSchedule",
        "CosineSchedule",
        "CrossEntropy",
        "Huber",
        "LinearSchedule",
        "Loss",
        "MAE",
        "MSE",
        "OneCycle",
        "Optimizer",
        "RMSprop",
        "SGD",
        "Schedule",
        "StepSchedule",
    ),
    "lmaas.types.predictions": (
        "Output",
        "Prediction",
        "PredictionParameters",
        "PredictionRequest",
        "RowError",
        "ScoredLabel",
    ),
}
"""Which names live in which file."""
_HOMES = {name: home for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmaas.types' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
