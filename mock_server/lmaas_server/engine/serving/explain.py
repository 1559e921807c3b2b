"""Why a model answers as it does: how much each part of a row has to do with it, by Captum. Knows no HTTP and no kind.

    integrated_gradients   the gradient, added up on the way from a baseline to the row (Sundararajan et al., 2017);
                           the parts' shares add up to what the row has over the baseline, and `delta` says how nearly
    saliency               how much the output moves with each number (Simonyan et al., 2013): fast, and rough
    occlusion              how far the output falls when a part is put at the baseline (Zeiler and Fergus, 2014)

What is explained is the output of one class before the softmax, a value in its own units, or of a language model the
token that follows a prompt, before the softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients, Saliency
from torch import Tensor

from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.reader import preview, rows_from_json
from lmaas_server.engine.serving.points import Point, Pool, point_of
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.engine.serving.prompt_points import point_of_prompt, token_of
from lmaas_server.engine.serving.text_predictor import TextPredictor
from lmaas_server.errors import InvalidError

_STEPS = (32, 128, 512)
_EXACT_ENOUGH = 0.01
"""Of what there is to explain: the path is walked in more steps while the sum is further off than that."""
_AT_ONCE = 64
_SHOWN_CLASSES = 20


@dataclass(frozen=True, slots=True)
class _Method:
    """How attributions are found, and what a part of several numbers gets of theirs."""

    attribute: Callable[[Point, int], Tensor]
    pool: Pool
    is_complete: bool = False


def explain(
    predictor: object, inputs: Array | Sequence[Any], *, target: int | str | None = None, method: str
) -> list[Json]:
    """Return an explanation for each row, or `{error: {code, message}}` where a row is bad.

    An explanation has the prediction (`label` and `score`, `labels` and `scores`, or `value`), the `target` that is
    explained, `attributions` shaped like the row, `output` and `baseline_output` of the target and, where the method
    adds up, the `delta` by which it does not.

    Args:
        predictor: a loaded model.
        inputs: as for a prediction.
        target: the class, the index of the value, or the token a text goes on with; omitted, the likeliest class or
            token of each row, the first value.
        method: one of METHODS.

    Raises:
        InvalidError: `explanation_unsupported`, `target_unknown`.
    """
    if isinstance(predictor, TextPredictor):
        token = token_of(predictor, target)
        return [_explained_prompt(predictor, row, index, token, METHODS[method]) for index, row in enumerate(inputs)]
    if not isinstance(predictor, Predictor):
        raise InvalidError(
            "what is explained are models that give classes, values or texts",
            code="explanation_unsupported",
            param="deployment",
        )
    named = _target_index(predictor, target)
    answers = predictor.predict(inputs)
    rows, _ = rows_from_json(inputs, predictor.input)
    return [
        answer if "error" in answer else answer | _explained(predictor, rows[row : row + 1], named, METHODS[method])
        for row, answer in enumerate(answers)
    ]


def _explained(predictor: Predictor, rows: Array, named: int | None, method: _Method) -> Json:
    found, index, _ = _attributed(point_of(predictor, rows), named, method)
    return {
        "target": predictor.classes[index] if predictor.classes else index,
        "kind": predictor.input["kind"],
        "input": None if "levels" in found else preview(rows[0], predictor.input),
        **found,
    }


def _explained_prompt(predictor: TextPredictor, row: Any, place: int, named: int | None, method: _Method) -> Json:
    """Explain the token that follows a prompt: `label` is the likeliest, `score` its probability."""
    try:
        found, index, outputs = _attributed(point_of_prompt(predictor, row, place), named, method)
    except InvalidError as exc:
        return {"error": {"code": exc.code, "message": exc.message}}
    score, likeliest = outputs.softmax(dim=0).max(dim=0)
    word = predictor.tokens.word
    return {"label": word(int(likeliest)), "score": float(score), "target": word(index), "kind": "text", **found}


def _attributed(point: Point, named: int | None, method: _Method) -> tuple[Json, int, Tensor]:
    """Return what an answer says of a point, the output that is explained, and all outputs of the row."""
    with torch.no_grad():
        outputs = point.forward(torch.cat([point.at, point.baseline]))  # (row and baseline, outputs)
    index = int(outputs[0].argmax()) if named is None else named
    found, outputs = method.attribute(point, index).cpu(), outputs.cpu()
    at, baseline = outputs[:, index].double().tolist()
    delta = float(found.double().sum()) - (at - baseline) if method.is_complete else None
    about = {"output": at, "baseline_output": baseline, "delta": delta}
    return {**point.shaped(found, method.pool), **about}, index, outputs[0]


def _target_index(predictor: Predictor, target: int | str | None) -> int | None:
    classes = predictor.classes
    if classes:
        if target is None:
            return None
        if target in classes and type(target) is type(classes[classes.index(target)]):
            return classes.index(target)
        known = ", ".join(map(repr, classes[:_SHOWN_CLASSES]))
        raise InvalidError(
            f"there is no class {target!r}; the model knows {known}{', ...' if len(classes) > _SHOWN_CLASSES else ''}",
            code="target_unknown",
            param="target",
        )
    count = int(np.prod(predictor.target["shape"], dtype=int))
    if target is None or (type(target) is int and 0 <= target < count):
        return target or 0
    raise InvalidError(
        f"the model gives {count} value{'s' * (count > 1)}; a target is the index of one, 0 to {count - 1}, "
        f"not {target!r}",
        code="target_unknown",
        param="target",
    )


def _integrated(point: Point, index: int) -> Tensor:
    """Walk from the baseline to the row, in more steps where few leave too much out."""
    walk = IntegratedGradients(point.forward)
    with torch.no_grad():
        at, baseline = point.forward(torch.cat([point.at, point.baseline]))[:, index].double().tolist()
    found = point.at
    for steps in _STEPS:
        found = walk.attribute(
            point.at, point.baseline, target=index, n_steps=steps, method="gausslegendre", internal_batch_size=_AT_ONCE
        )
        if abs(float(found.double().sum()) - (at - baseline)) <= _EXACT_ENOUGH * abs(at - baseline):
            break
    return found.detach()


def _saliency(point: Point, index: int) -> Tensor:
    found: Tensor = Saliency(point.forward).attribute(point.at.clone().requires_grad_(), target=index)
    return found.detach()


@torch.no_grad()
def _occluded(point: Point, index: int) -> Tensor:
    found: Tensor = FeatureAblation(point.forward).attribute(
        point.at,
        point.baseline,
        target=index,
        feature_mask=point.parts.to(point.at.device),
        perturbations_per_eval=_AT_ONCE,
    )
    return found


METHODS: dict[str, _Method] = {
    "integrated_gradients": _Method(_integrated, lambda numbers: numbers.sum(dim=-1), is_complete=True),
    "occlusion": _Method(_occluded, lambda numbers: numbers.mean(dim=-1)),
    "saliency": _Method(_saliency, lambda numbers: numbers.norm(dim=-1)),
}

__all__ = ["METHODS", "explain"]
