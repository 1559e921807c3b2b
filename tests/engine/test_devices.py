"""Another device than the CPU: models learn and answer there as they do here, and what is stored lies on the CPU.

There is no GPU where the tests run. What stands in is torch's lazy device, which comes with every build: its tensors
refuse to meet those of the CPU as a GPU's do, and compute the same. It has no fused kernels, no inference tensors and
no `split` that works, and what writes into views (the memory of texts) it cannot do; the meta device, which computes
nothing, stands in there.
"""

from __future__ import annotations

import itertools
from random import Random

import pytest
import torch
import torch._lazy
from contract_cases import CASES, numbers
from safetensors.torch import load_file
from torch._lazy import ts_backend

from lmaas.types import UpdateRequest
from lmaas_server.engine import device
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.bundle import load_bundle
from lmaas_server.engine.data.log_mel import AudioFeed
from lmaas_server.engine.learning import optimizers, strategies
from lmaas_server.engine.learning.case import Case
from lmaas_server.engine.learning.signals import read_signals
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.reports import Cancelled, Paused
from lmaas_server.engine.serving.decoding import LlamaDecoder, TransformersDecoder
from lmaas_server.engine.serving.explain import METHODS, explain
from lmaas_server.engine.serving.memory import Memory
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.engine.serving.sampling import Sampling, choose
from lmaas_server.errors import ConflictError

ts_backend.init()
LEARNING = ["mlp-tensor-values", "cnn-image-class", "text_encoder-text-classes", "tabular_mlp-table-class"]


@pytest.fixture
def on(monkeypatch):
    """Compute on another device from here on."""
    return lambda name: monkeypatch.setattr(device, "_device", name)


@pytest.fixture
def elsewhere(monkeypatch, on) -> None:
    """Compute on the lazy device."""

    def without_gradients(mode) -> None:
        mode._inference_mode_context = torch.no_grad()
        mode._inference_mode_context.__enter__()

    def plain(parameters, spec):
        return torch.optim.Adam(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps)

    def split(tensor, sizes, dim=0):
        starts = itertools.accumulate(sizes, initial=0)
        return [tensor.narrow(dim, start, size) for start, size in zip(starts, sizes, strict=False)]

    monkeypatch.setattr(torch.Tensor, "split", split)
    monkeypatch.setattr(torch.inference_mode, "__enter__", without_gradients)
    monkeypatch.setattr(optimizers, "OPTIMIZERS", {"adam": plain, "adamw": plain})
    on("lazy")


def next_step() -> None:
    """Have the lazy device compute what was put off up to here, as a control that has no wish."""
    torch._lazy.mark_step()


def close(one, other) -> None:
    for mine, yours in zip(numbers(one), numbers(other), strict=True):
        assert mine == pytest.approx(yours, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", LEARNING)
def test_what_was_learned_elsewhere_answers_here_as_there(name, elsewhere, on, tmp_path):
    case = CASES[name]
    *_, last = case.train(case.examples(tmp_path), tmp_path / "run", control=next_step)
    there = case.load(last.bundle)(case.sample.raw())
    on("cpu")
    close(there, case.load(last.bundle)(case.sample.raw()))


def test_it_learns_the_same_weights_as_here_but_for_rounding(blobs, plan, tmp_path, elsewhere, on):
    found = {}
    for name in ("lazy", "cpu"):
        on(name)
        *_, last = train(blobs, plan(blobs), directory=tmp_path / name, control=next_step)
        found[name] = load_file(last.bundle / "weights.safetensors")
    for name, tensor in found["cpu"].items():
        torch.testing.assert_close(found["lazy"][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_run_paused_there_goes_on_there_to_the_same_weights(blobs, plan, tmp_path, elsewhere):
    asked = itertools.count()
    *_, whole = train(blobs, plan(blobs), directory=tmp_path / "whole", control=next_step)
    with pytest.raises(Paused):
        list(train(blobs, plan(blobs), directory=tmp_path / "a", control=lambda: "pause" if next(asked) == 5 else None))
    (checkpoint,) = (tmp_path / "a" / "checkpoints").iterdir()
    *_, last = train(blobs, plan(blobs), directory=tmp_path / "b", resume=checkpoint, control=next_step)
    assert last.result["weights_sha256"] == whole.result["weights_sha256"]


@pytest.mark.parametrize("label", ["a", "new"])
def test_a_step_of_an_update_is_computed_elsewhere_as_here(label, blob_model, blobs, elsewhere, on):
    told = {"kind": "label", "value": label, "weight": 1.0, "source": None, "prediction_id": "p"}
    said = [{"id": f"fb-{n}", "inputs": blobs.inputs[n], "created_at": n, "index": n, **told} for n in range(60)]
    champion = load_bundle(blob_model)

    def loss(name: str) -> torch.Tensor:
        on(name)
        signals = read_signals(said, champion.target, (6,), ())
        case = Case.of(champion, signals, UpdateRequest(deployment="d", strategy="replay_distill"), ())
        return strategies._replay_loss(case.ground, case.ground.new[:32])

    there, here = loss("lazy"), loss("cpu")
    assert there.device.type == "lazy"
    assert float(there.detach()) == pytest.approx(float(here.detach()), rel=1e-4)


def test_sound_is_heard_elsewhere_as_here(elsewhere, on, tmp_path):
    case = CASES["audio_cnn-audio-class"]
    on("cpu")
    *_, last = case.train(case.examples(tmp_path), tmp_path / "run")
    here = case.load(last.bundle)(case.sample.raw())
    on("lazy")
    close(case.load(last.bundle)(case.sample.raw()), here)
    feed = Predictor.load(last.bundle).feed
    assert isinstance(feed, AudioFeed)
    assert feed.rows(case.examples(tmp_path).inputs).device.type == "lazy"


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_explained_elsewhere_as_here(method, blob_model, blobs, elsewhere, on):
    (there,) = explain(Predictor.load(blob_model), blobs.inputs[:1].tolist(), method=method)
    on("cpu")
    (here,) = explain(Predictor.load(blob_model), blobs.inputs[:1].tolist(), method=method)
    assert there["attributions"] == pytest.approx(here["attributions"], rel=1e-3, abs=1e-4)


def test_a_language_model_learns_elsewhere(elsewhere, tmp_path):
    case, asked = CASES["causal_lm-completion-full"], itertools.count()

    def control():
        next_step()
        return "cancel" if next(asked) == 3 else None

    with pytest.raises(Cancelled):
        list(case.train(case.examples(tmp_path), tmp_path / "run", control=control))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("decoder", "prompt"), [(LlamaDecoder, [1, 2, 3, 4, 5]), (LlamaDecoder, [1, 2]), (TransformersDecoder, [3, 2, 1])]
)
def test_texts_are_read_on_together_where_the_network_is(decoder, prompt, on):
    on("meta")
    reader = decoder(causal_lm.load(BaseModels().get("stories-260k").directory).eval())
    memory, other = Memory(reader.layout, 1, 8), Memory(reader.layout, 1, 8)
    reader.read(memory, torch.tensor([[1, 2, 3]]))
    reader.read(other, torch.tensor([prompt]))
    memory.join(other)
    assert reader.read(memory, torch.tensor([[4], [6]])).device.type == "meta"


def test_words_are_chosen_where_the_scores_are_as_here(elsewhere):
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    wishes = [Sampling(max_tokens=1, temperature=0), Sampling(max_tokens=1), Sampling(max_tokens=1, top_k=5, top_p=0.8)]
    there, here = (choose(where, [(wish, Random(1)) for wish in wishes]) for where in (scores.to("lazy"), scores))
    assert there == here


@pytest.mark.parametrize(
    ("name", "gpus", "found"), [("cpu", 0, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cuda", 1, "cuda:0")]
)
def test_a_setting_names_a_device_there_is(name, gpus, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert device.found(name) == found


@pytest.mark.parametrize(
    ("gpus", "built", "why"),
    [(0, None, "without CUDA"), (0, "13.0", "no GPU"), (2, "13.0", "there are 2: cuda:0 to cuda:1")],
)
def test_a_device_that_is_not_there_is_refused_with_what_is(gpus, built, why, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(ConflictError, match=why) as caught:
        device.use("cuda:2")
    assert caught.value.code == "device_missing"
    assert device.device() == "cpu"
