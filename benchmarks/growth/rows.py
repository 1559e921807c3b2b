"""Calls of a server that holds a million rows over the same calls of one that holds a page of each noun.

Both are real servers with the same model, on the same machine, asked in turn. The small one has one page of everything,
so that both answer with as many items. Two figures: the time of a call, and the processor time that the server spends
in all its threads, which does not know what else the machine is doing.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth.curves import Curve
from benchmarks.growth.filling import fill
from benchmarks.serving import KEY, json_body, prepare, real_server
from benchmarks.timing import Row, seconds

__all__ = ["growth_of_rows"]

ROUNDS = 7
ASKED = 10
"""Requests in a row; the fastest of them counts: what the others took longer was the machine's."""
PAGE = 20
TARGET = 1.5
STAGES = (1_000, 10_000, 100_000, 1_000_000)
JOBS, MODELS, DEPLOYMENTS = 10_000, 1_000, 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `{prediction}` in it stands for one that the server has just given."""

    group: str
    method: str
    path: str
    body: bytes | None = None

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.method} {self.path.removeprefix('/v1/')}"


def _listed(path: str) -> Call:
    return Call("listing", "GET", f"/v1/{path}")


CALLS = (
    Call("prediction", "POST", "/v1/deployments/digits/predictions", json_body(1)),
    Call("feedback", "POST", "/v1/feedback", b'{"prediction_id": "{prediction}", "kind": "label", "value": 3}'),
    *map(
        _listed,
        (
            "predictions",
            "predictions?deployment=digits",
            "predictions?order=asc&after=pred-grown-10",
            "predictions/pred-grown-7",
            "feedback",
            "feedback?deployment=digits",
            "feedback?deployment=digits&applied=false",
            "feedback?applied=true",
            "feedback?applied=digits@1",
            "feedback?prediction={prediction}",
            "feedback?kind=label",
            "feedback?source=person-1",
            "feedback?deployment=digits&kind=label",
            "jobs",
            "jobs?status=succeeded",
            "jobs?status=running",
            "jobs?type=training",
            "jobs?model=digits@1",
            "jobs?deployment=digits",
            "models",
            "models?name=digits",
            "models?alias=none",
            "models/digits@1",
            "models/digits@1/lineage",
            "deployments",
            "deployments/digits",
            "deployments/digits/stats",
            "deployments/digits/revisions",
            "deployments/digits/events",
            "datasets",
        ),
    ),
)


class Asked:
    """A server and one connection to it."""

    def __init__(self, port: int, data: Path) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self._tasks = Path(f"/proc/{int((data / 'server.lock').read_text())}/task")
        self.prediction = str(json.loads(self.ask(CALLS[0]))["id"])

    def ask(self, call: Call) -> bytes:
        """Return the answer.

        Raises:
            RuntimeError: It was not 200.
        """
        path, body = call.path, call.body
        if "{prediction}" in path:
            path = path.replace("{prediction}", self.prediction)
        if body is not None and b"{prediction}" in body:
            body = body.replace(b"{prediction}", self.prediction.encode())
        self._connection.request(call.method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{call.name}: {answer.status} {content[:200]!r}")
        return content

    def took(self, call: Call) -> Taken:
        """Return the time of the fastest of some requests, and the processor time of one of them, in seconds."""
        before = self._processor()
        fastest = min(seconds(lambda: self.ask(call)) for _ in range(ASKED))
        return Taken(fastest, (self._processor() - before) / ASKED)

    def _processor(self) -> float:
        """Return the processor time of all threads of the server, in seconds (Linux's schedstat)."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir()) / 1e9


class Taken(NamedTuple):
    """What a call takes, in seconds; or over what it takes elsewhere."""

    time: float
    processor: float


def growth_of_rows(folder: Path, *, scale: float) -> tuple[list[Row], list[Curve]]:
    """Fill one of two servers in stages; return the ratios at the end, and how they grew."""
    small, large = folder / "small", folder / "large"
    with real_server(small, prewarm="false") as port:
        prepare(port)
    shutil.copytree(small, large)
    fill(small, already=0, rows=PAGE * 4, jobs=PAGE, models=PAGE, deployments=PAGE)
    fill(large, already=0, rows=0, jobs=int(JOBS * scale), models=int(MODELS * scale), deployments=DEPLOYMENTS)
    found: dict[int, dict[str, Taken]] = {}
    already = 0
    with ExitStack() as stack:
        ports = [(stack.enter_context(real_server(data)), data) for data in (small, large)]
        for stage in STAGES:
            wanted = max(PAGE * 4, int(stage * scale))
            fill(large, already=already, rows=wanted, jobs=0, models=0, deployments=0)
            already = wanted
            found[wanted] = _ratios(*(Asked(port, data) for port, data in ports))
    return list(_rows(found)), list(_curves(found))


def _ratios(small: Asked, large: Asked) -> dict[str, Taken]:
    """Return by name how much longer each call takes, A B A B."""
    ratios = {}
    for call in CALLS:
        small.took(call), large.took(call)
        pairs = [(small.took(call), large.took(call)) for _ in range(ROUNDS)]
        of_small, of_large = (
            Taken(*(statistics.median(one) for one in zip(*taken, strict=True))) for taken in zip(*pairs, strict=True)
        )
        ratios[call.name] = Taken(of_large.time / of_small.time, of_large.processor / of_small.processor)
    return ratios


def _rows(found: dict[int, dict[str, Taken]]) -> Iterator[Row]:
    count, ratios = max(found.items())
    for call in sorted(CALLS, key=lambda call: (call.group != "prediction", call.group, -ratios[call.name].time)):
        ratio = ratios[call.name]
        figure = f"{ratio.time:.2f}x, processor {ratio.processor:.2f}x"
        yield Row(f"{count:,} rows, {call.name}", figure, f"<= {TARGET}x", ratio.time <= TARGET)


def _curves(found: dict[int, dict[str, Taken]]) -> Iterator[Curve]:
    for group in ("prediction", "feedback", "listing"):
        names = [call.name for call in CALLS if call.group == group]
        worst = [max(ratios[name].processor for name in names) for ratios in found.values()]
        label = group if len(names) == 1 else f"{group} (the slowest of {len(names)} calls)"
        yield Curve("rows", "predictions and items of feedback in the database", label, tuple(found), tuple(worst))
