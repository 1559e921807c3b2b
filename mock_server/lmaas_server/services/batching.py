"""A line of callers for each variant of each deployment, bounded as its record says. Knows no rows and no model."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from lmaas_server.engine.serving.batching import Batcher, Limits
from lmaas_server.records import DeploymentRecord, Json

__all__ = ["Batchers"]

_MOST = 4096


class Batchers:
    """Batchers by deployment and model version; the longest unused go when there are thousands."""

    def __init__(self, *, max_callers: int, max_wait: float) -> None:
        self._max_callers = max_callers
        self._max_wait = max_wait
        self._at_once = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._lock = threading.Lock()
        # Beside each, the very object that said its limits: a record that was not read again has no others.
        self._known: OrderedDict[tuple[str, str], tuple[Json, Batcher]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Batchers({len(self._known)})"

    def of(self, record: DeploymentRecord, model: str) -> Batcher:
        """Return the batcher of a variant; with other limits, it is a new one and who stands in the old is served."""
        key = (record.name, model)
        with self._lock:
            said, known = self._known.get(key, (None, None))
            if known is None or said is not record.batching:
                limits = self._limits(record)
                known = known if known is not None and known.limits == limits else Batcher(limits)
                self._known[key] = record.batching, known
            self._known.move_to_end(key)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return known

    def _limits(self, record: DeploymentRecord) -> Limits:
        return Limits(
            max_rows=int(record.batching.get("max_batch_size", 64)),
            max_delay=float(record.batching.get("max_delay_ms", 2.0)) / 1000,
            max_callers=self._max_callers,
            max_wait=self._max_wait,
            at_once=self._at_once,
        )
