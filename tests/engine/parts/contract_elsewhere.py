"""What the contract asks of processes other than the one that trained: `contract_elsewhere.py FOLDER` prints JSON.

Each case has a folder of its name with its finished training in `run`. For each, one process trains until it kills
itself with SIGKILL a step after a checkpoint, and another answers from the finished bundle and goes on from that
checkpoint. All are forked from this one, which has imported everything and computed nothing.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from contract_cases import CASES, Case

from lmaas_server.engine.reports import Checkpointed

LATE = ("torch._dynamo", "transformers.models.llama.modeling_llama", "accelerate", "peft", "pandas")
"""What the engine and its libraries import at their first use: done here, once for all that are forked."""


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Do work in a process of its own; return the signal that ended it (0 for none), and what it returned."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as stream:
            json.dump(work(), stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, json.loads(said) if said else None


def until_killed(case: Case, folder: Path) -> None:
    """Train, and die in the second step after the first checkpoint."""
    is_written = False
    steps = itertools.count()

    def control() -> None:
        if is_written and next(steps) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    for report in case.train(case.examples(folder), folder / "killed", control=control):
        is_written = is_written or isinstance(report, Checkpointed)


def taken_up(case: Case, folder: Path) -> tuple[list[Any], str]:
    """Answer from the finished bundle, and go on from what the dead one left; return its weights' checksum."""
    answers = case.singly(folder / "run" / "bundle", case.sample.raw())
    (checkpoint,) = (folder / "killed" / "checkpoints").iterdir()
    *_, last = case.train(case.examples(folder), folder / "resumed", resume=checkpoint)
    return answers, last.result["weights_sha256"]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for module in LATE:
        importlib.import_module(module)
    found = {}
    for name, case in CASES.items():
        own = folder / name
        signalled, _ = forked(lambda case=case, own=own: until_killed(case, own))
        _, (answers, sha) = forked(lambda case=case, own=own: taken_up(case, own))
        found[name] = {"answers": answers, "killed_by": signalled, "sha": sha}
    print(json.dumps(found))  # noqa: T201 - it is what the parent reads


if __name__ == "__main__":
    main(Path(sys.argv[1]))
