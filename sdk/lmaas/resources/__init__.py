"""The nouns of the API, one file each: every endpoint written once, as a flow.

A noun is loaded when it is first used (PEP 562): a program pays for those it speaks of.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it as true
if TYPE_CHECKING:
    from lmaas.resources import base_models, datasets, deployments, explanations, feedback, jobs, models, predictions

__all__ = ["base_models", "datasets", "deployments", "explanations", "feedback", "jobs", "models", "predictions"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'lmaas.resources' has no attribute {name!r}")
    return import_module(f"lmaas.resources.{name}")
