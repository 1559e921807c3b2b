"""Loaded models, as many as fit into a budget. Knows how to find a bundle; torch is imported with the first of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lmaas.types import PredictionParameters
from lmaas_server.errors import ConflictError, MissingError, ServiceError
from lmaas_server.records import Json, ModelRecord
from lmaas_server.services.models import bundle_key
from lmaas_server.services.npy import Array
from lmaas_server.services.streaming import Text
from lmaas_server.storage import Artifacts, Storage

__all__ = ["ByRows", "Predictor", "Predictors", "loader_of"]


class ByRows(Protocol):
    """How a model answers whose rows may be computed with those of other requests; `engine` says more."""

    def check(self, parameters: PredictionParameters) -> None:
        """Refuse parameters that are not for this model."""

    def rows(self, inputs: Sequence[Any] | Array) -> tuple[Array, dict[int, ServiceError]]:
        """Rows as `compute` takes them, and the errors of those that are bad."""

    def compute(self, rows: Array) -> Array:
        """What the network says of checked rows: the part of the work that can be done for several requests at once."""

    def outputs(
        self, found: Array, errors: dict[int, ServiceError], *, top_k: int | None = None, probabilities: bool = False
    ) -> list[Json]:
        """One output per row, of what was computed."""

    def array(self, found: Array, errors: dict[int, ServiceError]) -> Array:
        """The same as one array, as `Predictor.arrays` gives it."""


class Predictor(Protocol):
    """A model that answers; `engine.serving.predictor.Predictor` is one."""

    @property
    def bytes(self) -> int:
        """What it takes of memory."""

    @property
    def classes(self) -> Sequence[int | str]:
        """What the columns of `arrays` stand for; none of values and texts."""

    @property
    def by_rows(self) -> ByRows | None:
        """The parts of `answer` and `arrays`, where rows are computed at once; None where texts are written."""

    def answer(self, rows: Sequence[Any] | Array, parameters: PredictionParameters) -> list[Json]:
        """One output per row; a bad row has an error in its place."""

    def stream(self, rows: Sequence[Any] | Array, parameters: PredictionParameters) -> Sequence[Text]:
        """A text for each row, to be read as it is written; a model of anything else refuses."""

    def output(self, text: Any) -> Json:
        """Wait for the end of a text that `stream` gave and return the output of its row."""

    def arrays(self, rows: Sequence[Any] | Array) -> tuple[Array, dict[int, ServiceError]]:
        """Probabilities (rows, classes) or values, float32; NaN in the rows that have an error."""

    def warm(self) -> None:
        """Answer once for nobody, so that the first request does not pay for it."""


class Predictors:
    """Predictors by model version; the longest unused of the least dear go when the budget is full."""

    def __init__(
        self,
        storage: Storage,
        load: Callable[[ModelRecord], Predictor],
        *,
        budget: int,
        dear: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Take what it needs; `dear` ranks versions: the higher, the longer they stay; whom it does not name has 0."""
        self._storage = storage
        self._load = load
        self._budget = budget
        self._dear = dear
        self._listeners: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._loaded: OrderedDict[str, Predictor] = OrderedDict()

    def __repr__(self) -> str:
        return f"Predictors({list(self._loaded)})"

    def __len__(self) -> int:
        return len(self._loaded)

    @property
    def bytes(self) -> int:
        """What all of them take of memory."""
        with self._lock:
            return sum(predictor.bytes for predictor in self._loaded.values())

    def get(self, model: str) -> Predictor:
        """Return the predictor of a version, loading it if need be; two requests never load one twice.

        Raises:
            MissingError: `model_not_found`, the version is gone.
            ConflictError: `model_unusable`, its files cannot be read; `device_missing`, there is no such GPU.
        """
        if (known := self.loaded(model)) is not None:
            return known
        with self._lock:
            loading = self._loading.setdefault(model, threading.Lock())
        with loading:
            with self._lock:
                if (known := self._loaded.get(model)) is not None:
                    return known
            predictor = self._read(model)
            # Asked before the lock is taken: the answer comes from the database.
            dear = self._dear() if self.bytes + predictor.bytes > self._budget else {}
            with self._lock:
                self._loaded[model] = predictor
                self._loading.pop(model, None)
                self._make_room(model, dear)
        for listener in self._listeners:
            listener(model)
        return predictor

    def loaded(self, model: str) -> Predictor | None:
        """Return the predictor of a version if it is in memory; it counts as used."""
        with self._lock:
            if (known := self._loaded.get(model)) is not None:
                self._loaded.move_to_end(model)
        return known

    def has_room(self, bytes: int) -> bool:
        """Whether a version of that size can be loaded and no other has to go."""
        return self.bytes + bytes <= self._budget

    def watch(self, listener: Callable[[str], None]) -> None:
        """Have `listener` told of every version that was loaded; it must not take long."""
        self._listeners.append(listener)

    def ready(self, model: str) -> Predictor:
        """Return the predictor of a version that is about to serve: if it has to be loaded, it is warmed too.

        Raises:
            ServiceError: As for `get`.
        """
        known = model in self._loaded
        predictor = self.get(model)
        if not known:
            predictor.warm()
        return predictor

    def _read(self, model: str) -> Predictor:
        if (record := self._storage.models.get(model)) is None:
            message = f"The model {model} is gone; deploy another version."
            raise MissingError(message, code="model_not_found", param="model")
        try:
            return self._load(record)
        except ConflictError:  # of the device, whatever the files are
            raise
        except Exception as exc:
            message = f"The files of the model {model} cannot be used: {exc}"[:500]
            raise ConflictError(message, code="model_unusable", param="model") from exc

    def _make_room(self, newest: str, dear: Mapping[str, int]) -> None:
        total = sum(predictor.bytes for predictor in self._loaded.values())
        for model in sorted(self._loaded, key=lambda known: dear.get(known, 0)):  # the longest unused first, each rank
            if total <= self._budget:
                break
            if model != newest:
                total -= self._loaded.pop(model).bytes


def loader_of(artifacts: Artifacts, *, device: str) -> Callable[[ModelRecord], Predictor]:
    """Return how a version becomes a predictor on a device: from its bundle in the store."""

    def load(record: ModelRecord) -> Predictor:
        # Here and not above: importing torch takes over a second, and a server that only keeps data never needs it.
        import torch

        from lmaas_server.engine.device import use

        use(device)
        # Threads of torch under threads of requests fight for the same cores; one each is the fastest.
        torch.set_num_threads(1)
        directory = artifacts.path(bundle_key(record))
        if record.task == "generation":
            from lmaas_server.engine.serving.text_predictor import TextPredictor

            return TextPredictor.load(directory)
        from lmaas_server.engine.serving.predictor import Predictor as Engine

        return Engine.load(directory)

    return load
