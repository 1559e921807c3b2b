"""For tests of applications: a server in the test's own process. Knows nothing until `MockServer` is asked for.

Needs `pip install 'lmaas[server]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaas_server.testing import MockServer

__all__ = ["MockServer"]


def __getattr__(name: str) -> Any:
    if name != "MockServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from lmaas_server.testing import MockServer
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(f"{exc}; the server comes with `pip install 'lmaas[server]'`") from exc
    return MockServer
