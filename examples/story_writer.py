"""Teach a small language model how stories here begin and end, then watch it write one.

The base model, stories-260k, ships with the server: a real pretrained Llama of one megabyte. Run it with
`python examples/story_writer.py`; it takes half a minute.
"""

from __future__ import annotations

import sys

from lmaas.testing import MockServer
from lmaas.types import CausalLM, LoRA

HEROES = ["a little bird", "a big dog", "a girl named Lily", "a boy named Tim", "a cat named Tom"]
PLACES = ["in the park", "by the sea"]

LESSONS = [
    {
        "messages": [
            {"role": "user", "content": f"Tell me about {hero} {place}."},
            {
                "role": "assistant",
                "content": f"Once upon a time, there was {hero} {place}. They were very happy. The end.",
            },
        ]
    }
    for hero in HEROES
    for place in PLACES
]


def main() -> None:
    """Fine-tune, deploy, stream, and say what was good."""
    with MockServer() as server, server.client() as client:
        for base in client.base_models.list():
            print(f"base model {base.id}: {base.parameters:,} parameters, context {base.context}")

        architecture = CausalLM(base_model="stories-260k", lora=LoRA(rank=16, alpha=32.0))
        job = client.train(LESSONS, name="stories", architecture=architecture, epochs=20, seed=1)
        job = client.jobs.wait(job)
        print(
            f"{job.model}: perplexity {job.metrics['perplexity']:.2f}, {job.metrics['token_accuracy']:.0%} of tokens\n"
        )

        client.deploy(job.model, name="stories")
        question = [{"role": "user", "content": "Tell me about a big dog in the park."}]
        with client.stream("stories", question, temperature=0.3, max_tokens=80, seed=7) as story:
            for piece in story:
                sys.stdout.write(piece)
                sys.stdout.flush()
        answer = story.prediction.outputs[0]
        print(f"\n\n{answer.completion_tokens} tokens, ended by {answer.finish_reason}")

        several = client.predict(
            "stories", [f"Tell me about {hero} by the sea." for hero in HEROES], temperature=0.3, seed=7
        )
        for text in several.texts:
            print(f"- {text}")


if __name__ == "__main__":
    main()
