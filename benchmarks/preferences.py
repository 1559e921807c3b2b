"""Preferences on a real pretrained model, through the API: floor 6 of learning from feedback, with prompts held out.

The 575 pairs were written by stories-260k itself; of each pair the better text has more of a few happy words. A third
of the prompts is held out. What the new version writes for those is compared with what the old one writes; how far it
has moved is computed from both versions' weights by transformers alone, on texts that transformers draws.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, table
from lmaas import LMaaS
from lmaas.testing import MockServer

__all__ = ["measure", "table"]

DATA = Path(os.environ.get("LMAAS_DATA_DIR", "../shared/data"))
RULE = re.compile(r"\b(happy|play|played|friend|friends|fun|loved|laughed|smiled)\b")
"""What the better text has more of; it gives the scores of all but three of the 1,150 texts."""
SEEDS = (0, 1, 2)
TOKENS = 48
TRIES = 3
WIN, NATS, DEARER, SECONDS = 0.85, 8.0, 0.15, 20.0
BASE_TEXTS, BASE_TOKENS = 128, 200


def measure() -> tuple[str, list[Row]]:
    """Return the title and the rows of the table: the median of three seeds."""
    pairs = _pairs()
    with MockServer(job_threads=2) as server, server.client() as client:
        _base(client, pairs)
        found = [_one(client, pairs, seed) for seed in SEEDS]
    win, nats, dearer, seconds = (list(figures) for figures in zip(*found, strict=True))
    return "Preferences on stories-260k, 575 pairs, a third of the prompts held out", [
        _row("better by the rule than the champion's text (ties count half)", win, ".3f", WIN, least=True),
        _row("KL to the champion, nats a text", nats, ".2f", NATS),
        _row("change of NLL on the champion's own text, nats a token", dearer, "+.3f", DEARER),
        _row("update, with the start of its process, s", seconds, ".1f", SECONDS),
    ]


def _row(what: str, figures: list[float], form: str, floor: float, *, least: bool = False) -> Row:
    middle = statistics.median(figures)
    each = ", ".join(format(figure, form) for figure in figures)
    met = middle >= floor if least else middle <= floor
    return Row(what, f"{middle:{form}} ({each})", f"{'>=' if least else '<='} {floor:g}", met)


def _pairs() -> list[dict[str, Any]]:
    with gzip.open(DATA / "lm" / "stories_preference_pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    # The space that the model wrote before a text was stripped when the pairs were stored.
    return [
        {
            "prompt": row["input"]["messages"][0]["content"],
            "chosen": " " + row["preferred_output"][0]["content"],
            "rejected": " " + row["non_preferred_output"][0]["content"],
        }
        for row in rows
    ]


def _base(client: LMaaS, pairs: list[dict[str, Any]]) -> None:
    """Register the base model as a version: trained on its own texts, at a rate that moves no figure of it."""
    text = "\n\n".join(pair["prompt"] + pair[side] for pair in pairs for side in ("chosen", "rejected"))
    still = {"type": "sgd", "lr": 1e-6}
    dataset = client.datasets.create(text.encode(), format="txt", name="own-texts")
    job = client.train(dataset, name="stories", base_model="stories-260k", epochs=1, optimizer=still)
    client.jobs.wait(job, timeout=None)


def _one(client: LMaaS, pairs: list[dict[str, Any]], seed: int) -> tuple[float, float, float, float]:
    """Tell one deployment of the preferences, update it, and measure the version that serves then."""
    prompts = sorted({pair["prompt"] for pair in pairs})
    random.Random(seed).shuffle(prompts)
    held = prompts[: len(prompts) // 3]
    told = [pair for pair in pairs if pair["prompt"] not in set(held)]
    name = f"stories-{seed}"
    client.deploy("stories@1", name=name)
    before = _written(client, name, held, seed=1000 * seed + 1)
    asked = client.predict(name, [{"prompt": pair["prompt"]} for pair in told], max_tokens=1)
    client.feedback(asked, preferred=[{side: pair[side] for side in ("chosen", "rejected")} for pair in told])
    start = time.perf_counter()
    job = client.jobs.wait(client.update(name, seed=seed), timeout=None)
    seconds = time.perf_counter() - start
    if not (job.result or {}).get("promoted"):
        raise RuntimeError(f"the update was held: {job.result}")
    after = _written(client, name, held, seed=1000 * seed + 500)
    wins = [(new > old) + (new == old) / 2 for new, old in zip(after, before, strict=True)]
    nats, dearer = _moved(client.models.weights("stories@1"), client.models.weights(str(job.model)), held, seed)
    return statistics.fmean(wins), nats, dearer, seconds


def _written(client: LMaaS, name: str, prompts: list[str], *, seed: int) -> list[int]:
    """Return by the rule how good the texts are that a deployment writes, several for each prompt."""
    rows = [{"prompt": prompt} for prompt in prompts] * TRIES
    texts = client.predict(name, rows, max_tokens=TOKENS, temperature=1, seed=seed).texts
    return [len(RULE.findall(str(text).lower())) for text in texts]


def _moved(old: bytes, new: bytes, prompts: list[str], seed: int) -> tuple[float, float]:
    """Return KL(new || old) in nats a text, and how much dearer the old model's own texts became, in nats a token."""
    import torch
    from tokenizers import Tokenizer

    from lmaas_server.engine.base_models import BaseModels

    directory = BaseModels().get("stories-260k").directory
    tokens = Tokenizer.from_file(str(directory / "tokenizer.json"))
    champion, candidate = _network(directory, old), _network(directory, new)
    torch.manual_seed(seed)
    apart = []
    for prompt in prompts:
        ids = torch.tensor([tokens.encode(prompt).ids] * TRIES)
        texts = _drawn(candidate, ids, TOKENS)
        logs = [_logs(network, texts)[:, ids.shape[1] - 1 :] for network in (candidate, champion)]
        apart.append(float((logs[0].exp() * (logs[0] - logs[1])).sum(-1).sum(-1).mean()))
    texts = _drawn(champion, torch.ones((BASE_TEXTS, 1), dtype=torch.long), BASE_TOKENS)
    likely = [_logs(network, texts).gather(2, texts[:, 1:, None]).mean() for network in (champion, candidate)]
    return statistics.fmean(apart), float(likely[0] - likely[1])


def _network(directory: Path, weights: bytes) -> Any:
    from safetensors.torch import load
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    network = LlamaForCausalLM.from_pretrained(directory, local_files_only=True)
    network.load_state_dict(load(weights), strict=False)  # the output layer shares its numbers with the embedding
    found: Any = network
    return found.eval()


def _drawn(network: Any, prompts: Any, count: int) -> Any:
    """Return prompts with `count` tokens that the network draws after each."""
    wishes = {"do_sample": True, "temperature": 1.0, "top_k": 0, "pad_token_id": 0, "eos_token_id": None}
    return network.generate(prompts, max_new_tokens=count, **wishes)


def _logs(network: Any, texts: Any) -> Any:
    """Return the log-chance of every next token, (texts, tokens - 1, words)."""
    import torch

    with torch.inference_mode():
        return network(input_ids=texts).logits[:, :-1].log_softmax(-1)
