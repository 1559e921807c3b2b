"""The pytest plugin: fixtures `lmaas_server` and `lmaas_client`. Loaded with pytest, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lmaas import LMaaS
    from lmaas_server.testing import MockServer

__all__ = ["lmaas_client", "lmaas_server"]


@pytest.fixture(scope="session")
def lmaas_server() -> Iterator[MockServer]:
    """A running server, one for the session (and one per worker under pytest-xdist): `lmaas_server.url`."""
    from lmaas.testing import MockServer

    with MockServer() as server:
        yield server


@pytest.fixture
def lmaas_client(lmaas_server: MockServer) -> Iterator[LMaaS]:
    """A client of `lmaas_server`, closed after the test."""
    with lmaas_server.client() as client:
        yield client
