"""Clients over a transport that never leaves the process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lmaas import AsyncLMaaS, LMaaS

sys.path.insert(0, str(Path(__file__).parent))  # for sdk_samples: importlib mode adds no paths

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def connect() -> Iterator[Callable[..., LMaaS]]:
    """Make a blocking client whose requests a function answers."""
    opened = []

    def make(handler: Handler, **settings) -> LMaaS:
        http = httpx.Client(transport=httpx.MockTransport(handler))
        opened.append(http)
        return LMaaS(base_url="http://test", http_client=http, **settings)

    yield make
    for http in opened:
        http.close()


@pytest.fixture
def aconnect() -> Callable[..., AsyncLMaaS]:
    """Make an async client whose requests a function answers."""

    def make(handler: Handler, **settings) -> AsyncLMaaS:
        http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        return AsyncLMaaS(base_url="http://test", http_client=http, **settings)

    return make
