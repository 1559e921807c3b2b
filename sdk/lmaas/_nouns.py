"""The nouns of the service, as both clients have them, each made when it is first spoken of. Knows no verb."""

from __future__ import annotations

from functools import cached_property
from typing import Generic

from lmaas import resources
from lmaas._flow import DriverT, Resource


class Nouns(Resource[DriverT], Generic[DriverT]):
    """What the service is about."""

    @cached_property
    def datasets(self) -> resources.datasets.Datasets[DriverT]:
        """Files of examples."""
        return resources.datasets.Datasets(self.core)

    @cached_property
    def jobs(self) -> resources.jobs.Jobs[DriverT]:
        """Training, evaluation and update jobs."""
        return resources.jobs.Jobs(self.core)

    @cached_property
    def models(self) -> resources.models.Models[DriverT]:
        """Trained versions."""
        return resources.models.Models(self.core)

    @cached_property
    def base_models(self) -> resources.base_models.BaseModels[DriverT]:
        """Pretrained language models that can be fine-tuned."""
        return resources.base_models.BaseModels(self.core)

    @cached_property
    def deployments(self) -> resources.deployments.Deployments[DriverT]:
        """Names that serve predictions."""
        return resources.deployments.Deployments(self.core)

    @cached_property
    def predictions(self) -> resources.predictions.Predictions[DriverT]:
        """What deployments answered."""
        return resources.predictions.Predictions(self.core)

    @cached_property
    def feedback(self) -> resources.feedback.Feedbacks[DriverT]:
        """What is said about predictions: `client.feedback(prediction, labels=...)`, `client.feedback.list(...)`."""
        return resources.feedback.Feedbacks(self.core)
