"""The verbs of the service and its nouns, as both clients have them. Knows no transport and no settings."""

from __future__ import annotations

from typing import Generic

from lmaas._flow import DriverT
from lmaas._nouns import Nouns
from lmaas._serving_verbs import ServingVerbs
from lmaas._training_verbs import TrainingVerbs


class Verbs(TrainingVerbs[DriverT], ServingVerbs[DriverT], Nouns[DriverT], Generic[DriverT]):
    """Train, evaluate, deploy, predict, stream, explain, feedback, update; and the nouns they are about."""
