"""Answers from a stored model, row by row: one bad row never fails its neighbours. Knows no HTTP and no log.

A Predictor is read-only once loaded, so any number of threads may share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import PredictionParameters
from lmaas_server.engine.architectures.folding import fused
from lmaas_server.engine.bundle import Bundle, load_bundle
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.data.reader import rows_from_json
from lmaas_server.engine.device import CPU
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.errors import InvalidError, ServiceError

MAX_BATCH = 1024
"""Rows that go through the network at once; more are cut, so that memory follows the model and not the request."""


_HALF = 0.5
_FEW = 64
"""Numbers that Python looks through in less time than numpy takes to be called."""
_PARAMETERS = {"top_k", "probabilities"}


class Predictor:
    """A model that answers."""

    def __init__(self, bundle: Bundle) -> None:
        self.task = bundle.task
        self.input = bundle.input
        self.target = bundle.target
        self.parameters = bundle.parameters
        self.bytes = sum(tensor.nbytes for tensor in bundle.weights.values())
        self._multiple = bool(bundle.target.get("multiple"))
        self.classes: list[int | str] = list(bundle.target.get("classes", ()))
        self.feed = feed_of(bundle.preprocessing)
        self.network: nn.Sequential = fused(bundle.network().requires_grad_(requires_grad=False))
        # Calling a module looks for hooks first, which costs a tenth of a small network; there are none here.
        self._steps = [layer.forward for layer in self.network if not isinstance(layer, nn.Dropout)]
        self.scale = ValueScale.from_json(bundle.values) if bundle.values else None

    def __repr__(self) -> str:
        return f"Predictor({self.task}, {self.input['kind']} {tuple(self.input['shape'])})"

    @classmethod
    def load(cls, directory: Path) -> Predictor:
        """Load the model whose bundle lies in `directory`."""
        return cls(load_bundle(directory, buffers=False))

    def warm(self) -> None:
        """Answer one row of zeros, so that the first real one meets allocated memory and chosen kernels."""
        rows: dict[str, Any] = {"text": ["warm"], "audio": [[0]]}
        self.predict(rows.get(self.input["kind"]) or np.zeros((1, *self.input["shape"]), dtype=np.uint8))

    @property
    def by_rows(self) -> Predictor:
        """Itself: what it does for each request is apart from `compute`, which may be done for several at once."""
        return self

    def answer(self, inputs: Array | Sequence[Any], parameters: PredictionParameters) -> list[Json]:
        """Return one output per row, as `predict` does.

        Raises:
            InvalidError: `parameter_mismatch`: a parameter is for texts.
        """
        self.check(parameters)
        return self.predict(inputs, top_k=parameters.top_k, probabilities=parameters.probabilities)

    def check(self, parameters: PredictionParameters) -> None:
        """Refuse what is not for this model.

        Raises:
            InvalidError: `parameter_mismatch`: a parameter is for texts.
        """
        if stray := parameters.model_fields_set - _PARAMETERS:
            name = min(stray)
            raise InvalidError(
                f"`{name}` is for language models; this one does {self.task}, with {', '.join(sorted(_PARAMETERS))}",
                code="parameter_mismatch",
                param=f"parameters.{name}",
            )

    def stream(self, inputs: object, parameters: object) -> NoReturn:  # noqa: ARG002 - every predictor has it
        """Refuse: what is not written word by word cannot be read so."""
        raise InvalidError(
            f"a model of {self.task} answers at once; streams are of language models",
            code="stream_unsupported",
            param="accept",
        )

    def output(self, text: object) -> NoReturn:
        """Refuse, as `stream` does."""
        self.stream(text, None)

    def predict(
        self,
        inputs: Array | Sequence[Any],
        *,
        top_k: int | None = None,
        probabilities: bool = False,
    ) -> list[Json]:
        """Return one output per row.

        It is `{label, score, probabilities?, top?}`, `{labels, scores, ...}`, `{value}` or `{error: {code, message}}`.

        Args:
            inputs: an array of (rows, *shape) or a list of rows as JSON brings them.
            top_k: add the k likeliest classes with their scores.
            probabilities: add the probability of every class.
        """
        rows, errors = self.rows(inputs)
        return self.outputs(self.compute(rows), errors, top_k=top_k, probabilities=probabilities) if len(rows) else []

    def rows(self, inputs: Array | Sequence[Any]) -> tuple[Array, dict[int, ServiceError]]:
        """Return the rows as `compute` takes them, and the errors of those that are bad."""
        return rows_from_json(inputs, self.input)

    def outputs(
        self, found: Array, errors: dict[int, ServiceError], *, top_k: int | None = None, probabilities: bool = False
    ) -> list[Json]:
        """Return one output per row, as `predict` does, of what `compute` has said of the rows."""
        found = _finite(found, errors)  # (rows, outputs)
        if self.scale:
            answers = self._values(found)
        elif self._multiple:
            answers = self._sets(found, top_k, probabilities)
        else:
            answers = self._labels(found, top_k, probabilities)
        for index, error in errors.items():
            answers[index] = {"error": {"code": error.code, "message": error.message}}
        return answers

    def arrays(self, inputs: Array | Sequence[Any]) -> tuple[Array, dict[int, ServiceError]]:
        """Return the answers as one array, and the errors of the rows that are bad."""
        rows, errors = self.rows(inputs)
        return self.array(self.compute(rows), errors), errors

    def array(self, found: Array, errors: dict[int, ServiceError]) -> Array:
        """Return what `compute` has said of the rows as an answer, and note among the errors what overflowed.

        Returns:
            Probabilities of shape (rows, classes) or values of shape (rows, *shape), float32; NaN where a row is bad.
        """
        array = _finite(found, errors)
        if errors:
            array = array.copy()  # it may lie in that of several callers
            array[list(errors)] = np.nan
        return array[:, 0] if self.scale and not self.target["shape"] else array

    @torch.inference_mode()
    def compute(self, rows: Array) -> Array:
        """Return what the network says of checked rows: what is done for many callers at once.

        Returns:
            (rows, outputs) of float32: probabilities, or values in the units of the data; NaN throughout a row whose
            answer overflowed.
        """
        if len(rows) <= MAX_BATCH:
            outputs = self._forward(rows)
        else:
            outputs = torch.cat([self._forward(rows[at : at + MAX_BATCH]) for at in range(0, len(rows), MAX_BATCH)])
        # One number that is not finite makes the sum so; a sum that overflowed by itself is found out below.
        sound = None if math.isfinite(outputs.sum().item()) else outputs.isfinite().all(dim=1)
        if self.scale:
            found = self.scale.restore(outputs)
        else:
            found = outputs.sigmoid() if self._multiple else outputs.softmax(dim=1)
        if sound is not None:
            found = found.where(sound[:, None], torch.nan)
        return found.numpy().astype(np.float32, copy=False)

    def _forward(self, rows: Array) -> Tensor:
        """Return logits, or values on the scale they were learned on, on the CPU: (rows, outputs)."""
        outputs = self.feed.rows(rows)
        for step in self._steps:
            outputs = step(outputs)
        return outputs.to(CPU)

    def _labels(self, shares: Array, top_k: int | None, probabilities: bool) -> list[Json]:
        classes = self.classes
        answers: list[Json] = [
            {"label": classes[index], "score": score} for index, score in zip(*_likeliest(shares), strict=True)
        ]
        if probabilities:
            for answer, row in zip(answers, shares.tolist(), strict=True):
                answer["probabilities"] = row
        if top_k:
            places = np.argsort(-shares, axis=1, kind="stable")[:, :top_k]
            best = np.take_along_axis(shares, places, axis=1)
            for answer, indexes, row in zip(answers, places.tolist(), best.tolist(), strict=True):
                answer["top"] = [{"label": classes[i], "score": score} for i, score in zip(indexes, row, strict=True)]
        return answers

    def _sets(self, shares: Array, top_k: int | None, probabilities: bool) -> list[Json]:
        """Return the classes of each row with a probability of at least a half, likeliest first."""
        classes = self.classes
        answers: list[Json] = []
        for row in shares.tolist():
            ranked = sorted(range(len(row)), key=row.__getitem__, reverse=True)
            given = [place for place in ranked if row[place] >= _HALF]
            answer: Json = {"labels": [classes[i] for i in given], "scores": [row[i] for i in given]}
            if probabilities:
                answer["probabilities"] = row
            if top_k:
                answer["top"] = [{"label": classes[i], "score": row[i]} for i in ranked[:top_k]]
            answers.append(answer)
        return answers

    def _values(self, values: Array) -> list[Json]:
        found: list[Any] = values.tolist() if self.target["shape"] else values[:, 0].tolist()
        return [{"value": value} for value in found]


def _likeliest(shares: Array) -> tuple[list[int], list[float]]:
    """Return the place of the largest number of each row, the first of several, and that number."""
    if shares.size <= _FEW:
        rows = shares.tolist()
        scores = [max(row) for row in rows]
        return [row.index(score) for row, score in zip(rows, scores, strict=True)], scores
    places = shares.argmax(axis=1)
    return places.tolist(), shares[np.arange(len(shares)), places].tolist()


def _finite(found: Array, errors: dict[int, ServiceError]) -> Array:
    """Return outputs with zeros in the rows whose answer overflowed, which are noted among the errors."""
    if not math.isnan(np.add.reduce(found, axis=None)):
        return found
    overflowed = np.asarray(np.isnan(found).any(axis=1))
    for index in np.flatnonzero(overflowed).tolist():
        errors.setdefault(
            index,
            ServiceError(
                f"row {index} is so far from what the model was trained on that its answer is not a number",
                code="not_finite",
                param=f"inputs[{index}]",
            ),
        )
    return np.where(overflowed[:, None], np.float32(0), found)
