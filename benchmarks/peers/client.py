"""Our client, openai and anthropic: a call over bare httpx, many calls at once, the import. In turn, on one stub."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.client import stub_server
from benchmarks.peers.environments import NotInstalledError, Peer
from benchmarks.timing import Row

__all__ = ["measure"]

ALL = ("openai", "anthropic")


def measure(rounds: int) -> tuple[str, list[Row]]:
    """Return what each SDK was found to take: medians."""
    pythons, rows = {"lmaas": sys.executable}, []
    for name in ALL:
        try:
            pythons[name] = Peer(name).python()
        except NotInstalledError as exc:
            rows.append(Row(name, f"not measured: {exc}", ""))
    with stub_server() as url, stub_server(0.005) as slow:
        found = [{name: _found(name, python, url, slow) for name, python in pythons.items()} for _ in range(rounds)]
    for name in pythons:
        over, rate, imported = (statistics.median(one[name][of] for one in found) for of in ("over", "rate", "import"))
        what = name if name == "lmaas" else Peer(name).versions
        figure = (
            f"{over:.2f}x bare httpx, {rate:.0f} requests/s of 200 callers, import after httpx {imported * 1e3:.0f} ms"
        )
        ours = name == "lmaas"
        rows.append(Row(what, figure, "<= 1.3x" if ours else "", over <= 1.3 if ours else None))
    return f"Clients beside each other ({rounds} rounds)", rows


def _found(name: str, python: str, url: str, slow: str) -> dict[str, Any]:
    command = [python, "-m", "benchmarks.peers.clients.calls", name, url, slow]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found
