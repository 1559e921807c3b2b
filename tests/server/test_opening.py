"""A server that is being loaded: it says that it is alive, and lets all else wait."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lmaas_server.http.heads import Head
from lmaas_server.http.opening import Opening
from lmaas_server.routes.health import HealthRoutes


@dataclass
class Asked:
    """A request that remembers what it was answered."""

    head: Head
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, dict(headers), body))


def asked(path: str, method: str = "GET", **variables: str) -> Asked:
    return Asked(Head(method, path, "", "1.1", variables))


def test_it_is_alive_before_it_is_loaded_and_says_so_as_later():
    one, other, opening = asked("/healthz", HTTP_X_REQUEST_ID="mine"), asked("/healthz"), Opening()
    opening.answer(one)
    opening.answer(other)
    assert one.answers == [(200, {"content-type": "application/json", "x-request-id": "mine"}, b'{"status":"ok"}')]
    assert other.answers[0][1]["x-request-id"].startswith("req-")
    assert HealthRoutes.alive(None, None) == {"status": "ok"}


@pytest.mark.parametrize(("path", "method"), [("/readyz", "GET"), ("/v1/models", "GET"), ("/healthz", "HEAD")])
def test_all_else_waits_for_what_is_being_loaded_and_goes_to_it(path, method):
    waits, comes, opening, taken = asked(path, method), asked("/healthz"), Opening(), []
    opening.answer(waits)
    assert (waits.answers, repr(opening)) == ([], "Opening(1 waiting)")
    opening.open(taken.append)
    opening.answer(comes)
    assert taken == [waits, comes]
