"""Language models: tokens a second against plain `transformers.generate`, and what fine-tuning must reach.

One thread for generation, both sides in one process, alternating. The floors go through the API.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, alternate, table
from lmaas.testing import MockServer
from lmaas.types import CausalLM, Llama

__all__ = ["measure", "table"]

DATA = Path(os.environ.get("LMAAS_DATA_DIR", "../shared/data"))
TOKENS = 200
ROUNDS = 7
TOGETHER = 8
ONE, EIGHT = 0.9, 2.5
ANSWER_SECONDS, VERSE_LOSS, VERSE_SECONDS = 30.0, 1.80, 120.0


def measure() -> tuple[str, list[Row]]:
    """Return the title and the rows of the table."""
    return "Language models", [*_generation(), *_answers(), *_verse()]


def _generation() -> list[Row]:
    """Compare the tokens a second of one request and of eight with those of transformers for one."""
    import torch

    from lmaas_server.engine.architectures import causal_lm
    from lmaas_server.engine.base_models import BaseModels
    from lmaas_server.engine.data.tokens import Tokens
    from lmaas_server.engine.serving.decoding import decoder_of
    from lmaas_server.engine.serving.generate import Generator
    from lmaas_server.engine.serving.sampling import Sampling

    torch.set_num_threads(1)
    directory = BaseModels().get("stories-260k").directory
    network, tokens = causal_lm.load(directory).eval(), Tokens.load(directory)
    generator = Generator(decoder_of(network), tokens, context=512)
    prompt = tokens.encode("Once upon a time")

    @torch.inference_mode()
    def plain() -> float:
        ids = torch.tensor([prompt])
        start = time.perf_counter()
        found = network.generate(ids, max_new_tokens=TOKENS, do_sample=False, pad_token_id=0)  # type: ignore[operator]  # a mixin
        return float(found.shape[1] - len(prompt)) / (time.perf_counter() - start)

    def ours(count: int) -> float:
        start = time.perf_counter()
        asked = [generator.begin(prompt, Sampling(max_tokens=TOKENS, temperature=0.0)) for _ in range(count)]
        written = sum(len(writing.wait() and writing.tokens) for writing in asked)
        return written / (time.perf_counter() - start)

    theirs, one = alternate(plain, lambda: ours(1), rounds=ROUNDS)
    again, eight = alternate(plain, lambda: ours(TOGETHER), rounds=ROUNDS)
    generator.stop()
    return [
        Row(
            "one text, over transformers.generate",
            f"{one / theirs:.2f}x ({one:.0f} tokens/s)",
            f">= {ONE}x",
            one >= ONE * theirs,
        ),
        Row(
            f"{TOGETHER} texts together, over one of transformers",
            f"{eight / again:.2f}x ({eight:.0f} tokens/s)",
            f">= {EIGHT}x",
            eight >= EIGHT * again,
        ),
    ]


def _answers() -> list[Row]:
    """Fine-tune on ten real pairs through the API and ask each."""
    rows: list[dict[str, Any]] = []
    with gzip.open(DATA / "lm" / "self_instruct_seed_messages.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if len(row["messages"]) == 2 and sum(len(m["content"]) for m in row["messages"]) < 250:
                rows.append(row)
    pairs = random.Random(0).sample(rows, 10)
    with MockServer(job_threads=2) as server, server.client() as client:
        dataset = client.datasets.create(pairs)
        start = time.perf_counter()
        job = client.jobs.wait(client.train(dataset, name="answers", base_model="stories-260k"))
        seconds = time.perf_counter() - start
        client.deploy(job.model, name="answers")
        texts = client.predict(
            "answers", [pair["messages"][0]["content"] for pair in pairs], temperature=0, max_tokens=300
        ).texts
    right = sum(text == pair["messages"][1]["content"] for text, pair in zip(texts, pairs, strict=True))
    return [
        Row("stories-260k on 10 pairs: answered exactly", f"{right} of 10", "10 of 10", right == len(pairs)),
        Row(
            "... training, with the start of its process",
            f"{seconds:.1f} s",
            f"<= {ANSWER_SECONDS:g} s",
            seconds <= ANSWER_SECONDS,
        ),
    ]


def _verse() -> list[Row]:
    """Train nanoGPT's CPU shape on tiny Shakespeare, by characters, through the API."""
    text = gzip.decompress((DATA / "text" / "tinyshakespeare.txt.gz").read_bytes())
    shape = CausalLM(llama=Llama(layers=4, heads=4, width=128, context=64, tokenizer="char"))
    with MockServer(job_threads=2) as server, server.client() as client:
        dataset = client.datasets.create(text, format="txt", name="verse")
        start = time.perf_counter()
        job = client.train(dataset, name="verse", architecture=shape, epochs=1, batch_size=32)
        job = client.jobs.wait(job, timeout=None)
        seconds = time.perf_counter() - start
    loss = float(job.metrics["loss"])
    return [
        Row("Shakespeare, 491 steps: validation loss", f"{loss:.3f}", f"<= {VERSE_LOSS:.2f}", loss <= VERSE_LOSS),
        Row(
            "... training, with the start of its process",
            f"{seconds:.0f} s",
            f"<= {VERSE_SECONDS:g} s",
            seconds <= VERSE_SECONDS,
        ),
    ]
