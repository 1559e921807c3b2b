"""Answers from a stored model, row by row: one bad row never fails its neighbours. Knows no HTTP and no log.

A Predictor is read-only once loaded, so any number of threads may share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import PredictionParameters
from lmaas_server.engine.bundle import Bundle, load_bundle
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.data.reader import rows_from_json
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.errors import InvalidError, ServiceError

MAX_BATCH = 1024
"""Rows that go through the network at once; more are cut, so that memory follows the model and not the request."""


_HALF = 0.5
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
        self.network: nn.Sequential = bundle.network().requires_grad_(requires_grad=False)
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

    def answer(self, inputs: Array | Sequence[Any], parameters: PredictionParameters) -> list[Json]:
        """Return one output per row, as `predict` does.

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
        return self.predict(inputs, top_k=parameters.top_k, probabilities=parameters.probabilities)

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
        self, inputs: Array | Sequence[Any], *, top_k: int | None = None, probabilities: bool = False
    ) -> list[Json]:
        """Return one output per row.

        It is `{label, score, probabilities?, top?}`, `{labels, scores, ...}`, `{value}` or `{error: {code, message}}`.

        Args:
            inputs: an array of (rows, *shape) or a list of rows as JSON brings them.
            top_k: add the k likeliest classes with their scores.
            probabilities: add the probability of every class.
        """
        rows, errors = rows_from_json(inputs, self.input)
        if not len(rows):
            return []
        outputs = _finite(self._outputs(rows), errors)  # (rows, outputs)
        if self.scale:
            answers = self._values(outputs)
        elif self._multiple:
            answers = self._sets(outputs, top_k, probabilities)
        else:
            answers = self._labels(outputs, top_k, probabilities)
        for index, error in errors.items():
            answers[index] = {"error": {"code": error.code, "message": error.message}}
        return answers

    def arrays(self, inputs: Array | Sequence[Any]) -> tuple[Array, dict[int, ServiceError]]:
        """Return the answers as one array, and the errors of the rows that are bad.

        Returns:
            Probabilities of shape (rows, classes) or values of shape (rows, *shape), float32; NaN where a row is bad.
        """
        rows, errors = rows_from_json(inputs, self.input)
        outputs = _finite(self._outputs(rows), errors)  # (rows, outputs)
        shares = outputs.sigmoid() if self._multiple else outputs.softmax(dim=1)
        array = (outputs if self.scale else shares).numpy().astype(np.float32)
        array[list(errors)] = np.nan
        return array[:, 0] if self.scale and not self.target["shape"] else array, errors

    @torch.inference_mode()
    def _outputs(self, rows: Array) -> Tensor:
        """Return logits, or values in the units of the data."""
        if len(rows) <= MAX_BATCH:
            outputs: Tensor = self.network(self.feed.rows(rows))
        else:
            parts = [rows[at : at + MAX_BATCH] for at in range(0, len(rows), MAX_BATCH)]
            outputs = torch.cat([self.network(self.feed.rows(part)) for part in parts])
        return self.scale.restore(outputs) if self.scale else outputs

    def _labels(self, logits: Tensor, top_k: int | None, probabilities: bool) -> list[Json]:
        shares = logits.softmax(dim=1)
        scores, indices = shares.max(dim=1)
        classes = self.classes
        answers: list[Json] = [
            {"label": classes[index], "score": score}
            for index, score in zip(indices.tolist(), scores.tolist(), strict=True)
        ]
        if probabilities:
            for answer, row in zip(answers, shares.tolist(), strict=True):
                answer["probabilities"] = row
        if top_k:
            best = shares.topk(min(top_k, len(classes)), dim=1)
            for answer, row, places in zip(answers, best.values.tolist(), best.indices.tolist(), strict=True):
                answer["top"] = [{"label": classes[i], "score": score} for i, score in zip(places, row, strict=True)]
        return answers

    def _sets(self, logits: Tensor, top_k: int | None, probabilities: bool) -> list[Json]:
        """Return the classes of each row with a probability of at least a half, likeliest first."""
        classes = self.classes
        answers: list[Json] = []
        for row in logits.sigmoid().tolist():
            ranked = sorted(range(len(row)), key=row.__getitem__, reverse=True)
            given = [place for place in ranked if row[place] >= _HALF]
            answer: Json = {"labels": [classes[i] for i in given], "scores": [row[i] for i in given]}
            if probabilities:
                answer["probabilities"] = row
            if top_k:
                answer["top"] = [{"label": classes[i], "score": row[i]} for i in ranked[:top_k]]
            answers.append(answer)
        return answers

    def _values(self, outputs: Tensor) -> list[Json]:
        found: list[Any] = outputs.tolist() if self.target["shape"] else outputs[:, 0].tolist()
        return [{"value": value} for value in found]


def _finite(outputs: Tensor, errors: dict[int, ServiceError]) -> Tensor:
    """Return outputs with zeros in the rows whose answer overflowed, which are noted among the errors."""
    sound = outputs.isfinite().all(dim=1)
    if bool(sound.all()):
        return outputs
    for index in (~sound).nonzero().flatten().tolist():
        errors.setdefault(
            index,
            ServiceError(
                f"row {index} is so far from what the model was trained on that its answer is not a number",
                code="not_finite",
                param=f"inputs[{index}]",
            ),
        )
    return outputs.where(sound[:, None], 0.0)
