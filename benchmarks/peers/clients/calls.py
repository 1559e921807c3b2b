"""A typed call of an SDK over bare httpx and `.json()`, in turn, on a stub; and 200 calls at once.

    python -m benchmarks.peers.clients.calls openai|anthropic|lmaas URL SLOW_URL

The stub says the same to everybody; none of these SDKs refuses an answer with other fields than it knows.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx

CALLS = 100
ROUNDS = 5
CONCURRENT = 200


def blocking(name: str, url: str) -> Callable[[], Any]:
    """Return one call of the SDK."""
    if name == "lmaas":
        import lmaas

        return partial(lmaas.LMaaS(base_url=url).jobs.retrieve, "job-1")
    if name == "openai":
        import openai

        return partial(openai.OpenAI(base_url=f"{url}/v1", api_key="k").models.retrieve, "m")
    import anthropic

    return partial(anthropic.Anthropic(base_url=url, api_key="k").models.retrieve, "m")


def waiting(name: str, url: str) -> Callable[[], Awaitable[Any]]:
    """Return the same as a coroutine."""
    if name == "lmaas":
        import lmaas

        return partial(lmaas.AsyncLMaaS(base_url=url).jobs.retrieve, "job-1")
    if name == "openai":
        import openai

        return partial(openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k").models.retrieve, "m")
    import anthropic

    return partial(anthropic.AsyncAnthropic(base_url=url, api_key="k").models.retrieve, "m")


def over_httpx(name: str, url: str) -> float:
    """Return the time of a call over that of bare httpx."""
    call = blocking(name, url)
    with httpx.Client(base_url=url) as bare:

        def timed(one: Callable[[], Any]) -> float:
            began = time.perf_counter()
            for _ in range(CALLS):
                one()
            return time.perf_counter() - began

        def plain() -> Any:
            return bare.get("/v1/models/m").json()

        timed(plain), timed(call)
        return statistics.median(timed(call) / timed(plain) for _ in range(ROUNDS))


async def at_once(name: str, url: str) -> float:
    """Return requests per second of so many callers."""
    call = waiting(name, url)

    async def several(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(several(1) for _ in range(CONCURRENT)))
    began = time.perf_counter()
    await asyncio.gather(*(several(3) for _ in range(CONCURRENT)))
    return CONCURRENT * 3 / (time.perf_counter() - began)


def main(name: str, url: str, slow: str) -> None:
    """Print what was found."""
    began = time.perf_counter()
    __import__(name)
    imported = time.perf_counter() - began
    print(json.dumps({"import": imported, "over": over_httpx(name, url), "rate": asyncio.run(at_once(name, slow))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
