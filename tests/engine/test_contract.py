"""One contract for everything that is registered: each architecture on each kind of inputs it takes, at each task.

The cases are made from the registry, in `parts/contract_cases.py`.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pytest
from contract_cases import CASES, SAMPLES, Case, numbers

from lmaas.types import Architecture
from lmaas.types.job_requests import Task
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.bundle import load_bundle
from lmaas_server.engine.data.examples import Examples
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.registry import ARCHITECTURES, TASKS
from lmaas_server.engine.reports import Finished, Paused

PARTS = Path(__file__).parent / "parts"
each_case = pytest.mark.parametrize("name", CASES)
WHAT_AN_ANSWER_HOLDS = {
    "classification": {"label", "score", "probabilities"},
    "multilabel_classification": {"labels", "scores", "probabilities"},
    "regression": {"value"},
    "generation": {"text", "finish_reason", "prompt_tokens", "completion_tokens", "logprobs"},
}


@dataclass(frozen=True)
class Fitted:
    """A trained case: its rows, and how its training ended."""

    case: Case
    examples: Examples
    report: Finished

    @property
    def sha(self) -> str:
        return self.report.result["weights_sha256"]

    @cached_property
    def answer(self) -> Callable[[list[Any]], list[dict[str, Any]]]:
        return self.case.load(self.report.bundle)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def fitted(folder):
    """Train each case once."""
    made: dict[str, Fitted] = {}

    def fitting(name: str) -> Fitted:
        if name not in made:
            (folder / name).mkdir()
            examples = CASES[name].examples(folder / name)
            *_, last = CASES[name].train(examples, folder / name / "run")
            made[name] = Fitted(CASES[name], examples, last)
        return made[name]

    return fitting


@pytest.fixture(scope="module")
def elsewhere(fitted, folder):
    """What other processes made of all cases; one start of Python for all, because it takes longer than they do."""
    for name in CASES:
        fitted(name)
    program = [sys.executable, str(PARTS / "contract_elsewhere.py"), str(folder)]
    done = subprocess.run(program, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


def test_every_architecture_kind_and_task_there_is_has_a_case():
    """What can be asked for over the wire, and what the engine knows, is under the contract or this fails."""
    (union, *_) = get_args(Architecture)
    assert {config.model_fields["type"].default for config in get_args(union)} == {*ARCHITECTURES, "causal_lm"}
    assert {case.architecture.type for case in CASES.values()} == {*ARCHITECTURES, "causal_lm"}
    assert {kind for entry in ARCHITECTURES.values() for kind in entry.inputs} <= set(SAMPLES)
    assert {case.task for case in CASES.values()} == {*TASKS, "generation"} == set(get_args(Task))


@each_case
def test_raw_rows_are_answered(fitted, name):
    case = fitted(name)
    answers = case.answer(case.case.sample.raw())
    assert all(WHAT_AN_ANSWER_HOLDS[case.case.task] <= set(answer) for answer in answers)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.form == "values"])
def test_several_values_come_as_several(fitted, name):
    case = fitted(name)
    assert {row.shape for row in numbers(case.answer(case.case.sample.raw()))} == {(2,)}


@each_case
def test_a_bad_row_is_named_and_its_neighbours_answer(fitted, name):
    case = fitted(name)
    good = case.case.sample.raw()
    answers = case.answer([good[0], case.case.sample.bad, good[1]])
    assert [("error" in a) for a in answers] == [False, True, False]
    assert "row 1" in answers[1]["error"]["message"]


@each_case
def test_a_batch_predicts_as_singles(fitted, name):
    case = fitted(name)
    raw = case.case.sample.raw()
    together, alone = case.answer(raw), [case.answer([row])[0] for row in raw]
    for one, other in zip(numbers(together), numbers(alone), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    assert [answer.get("text") for answer in together] == [answer.get("text") for answer in alone]


@each_case
def test_a_seeded_run_repeats(fitted, tmp_path, name):
    case = fitted(name)
    *_, again = case.case.train(case.examples, tmp_path)
    assert again.result["weights_sha256"] == case.sha


@each_case
def test_a_run_paused_in_an_epoch_ends_with_the_same_weights(fitted, tmp_path, name):
    case, asked = fitted(name), itertools.count()
    reports = case.case.train(case.examples, tmp_path / "a", control=lambda: "pause" if next(asked) == 1 else None)
    with pytest.raises(Paused):
        list(reports)
    (checkpoint,) = (tmp_path / "a" / "checkpoints").iterdir()
    *_, last = case.case.train(case.examples, tmp_path / "b", resume=checkpoint)
    assert last.result["weights_sha256"] == case.sha


@each_case
def test_the_size_planned_is_the_size_built(fitted, name):
    case = fitted(name)
    if case.case.task != "generation":
        built = sum(parameter.numel() for parameter in load_bundle(case.report.bundle).network().parameters())
    elif (shape := case.case.architecture.llama) is not None:
        built = causal_lm.parameters(shape, len(Tokens.load(case.report.bundle)))
    else:
        built = 260_032  # stories-260k, whose adapters are merged
    assert built == case.report.result["parameters"]


@each_case
def test_a_new_process_gives_the_same_outputs(fitted, elsewhere, name):
    case = fitted(name)
    assert elsewhere[name]["answers"] == case.case.singly(case.report.bundle, case.case.sample.raw())


@each_case
def test_a_run_killed_by_sigkill_goes_on_from_its_checkpoint_to_the_same_weights(fitted, elsewhere, name):
    assert elsewhere[name]["killed_by"] == signal.SIGKILL
    assert elsewhere[name]["sha"] == fitted(name).sha
