"""What the client costs: its import, its construction, and a call over what bare httpx takes for the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx

from benchmarks.timing import Row, alternate, seconds, table
from lmaas import AsyncLMaaS, LMaaS

__all__ = ["measure", "table"]

CALLS = 300
CONCURRENT = 200


@contextmanager
def stub_server(delay: float = 0.0) -> Iterator[str]:
    """Run the stub in a process of its own and give its URL."""
    command = [sys.executable, "-m", "benchmarks.stub_server", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def measure() -> tuple[str, list[Row]]:
    """Measure each row of the client's table."""
    return "The client", [
        _import_time(),
        _first_client(),
        _first_call(),
        *_construction(),
        _sync_call(),
        _async_concurrency("httpx", 1000),
        _async_concurrency("aiohttp", 3000),
    ]


def _python(code: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def _import_time() -> Row:
    bare, ours = alternate(lambda: _python("pass"), lambda: _python("import lmaas"), rounds=15)
    extra = (ours - bare) * 1000
    return Row("import lmaas, over the bare interpreter", f"{extra:.1f} ms", "<= 25 ms", extra <= 25)


def _first_client() -> Row:
    bare, ours = alternate(lambda: _python("pass"), lambda: _python("import lmaas; lmaas.LMaaS()"), rounds=15)
    extra = (ours - bare) * 1000
    return Row("import and the first client", f"{extra:.0f} ms", "<= 150 ms", extra <= 150)


def _first_call() -> Row:
    with stub_server() as url:
        code = f"import lmaas\nwith lmaas.LMaaS(base_url={url!r}) as client: client.jobs.retrieve('job-1')"
        bare, ours = alternate(lambda: _python("pass"), lambda: _python(code), rounds=15)
    return Row("the same and its first call, which loads httpx and pydantic", f"{(ours - bare) * 1000:.0f} ms", "")


def _construction() -> Iterator[Row]:
    for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):

        def construct(url: str = url) -> None:
            LMaaS(base_url=url).close()

        construct()
        each = min(seconds(construct) for _ in range(50)) * 1000
        yield Row(f"one more client ({url.split(':')[0]})", f"{each:.2f} ms", "<= 1 ms", each <= 1)


def _sync_call() -> Row:
    with stub_server() as url, httpx.Client(base_url=url) as bare, LMaaS(base_url=url) as client:

        def plain() -> None:
            for _ in range(CALLS):
                bare.get("/v1/jobs/job-1").json()

        def ours() -> None:
            for _ in range(CALLS):
                client.jobs.retrieve("job-1")

        a, b = alternate(lambda: seconds(plain), lambda: seconds(ours), rounds=11)
    figure = f"{b / a:.2f}x ({b / CALLS * 1e6:.0f} over {a / CALLS * 1e6:.0f} us)"
    return Row("a typed call over bare httpx and .json()", figure, "<= 1.3x", b / a <= 1.3)


def _async_concurrency(transport: Literal["httpx", "aiohttp"], target: int) -> Row:
    async def run(url: str) -> float:
        async with AsyncLMaaS(base_url=url, transport=transport) as client:
            loop = asyncio.get_running_loop()

            async def calls(count: int) -> None:
                for _ in range(count):
                    await client.jobs.retrieve("job-1")

            async def together(count: int) -> None:
                await asyncio.gather(*(calls(count) for _ in range(CONCURRENT)))

            await together(1)  # opens the connections
            start = loop.time()
            await together(10)
            return CONCURRENT * 10 / (loop.time() - start)

    with stub_server(0.005) as url:
        rate = sorted(asyncio.run(run(url)) for _ in range(5))[2]
    what = f"{CONCURRENT} async calls at once, 5 ms server, {transport}"
    return Row(what, f"{rate:.0f} requests/s", f">= {target:,}", rate >= target)
