"""A server answers `/healthz` before it has imported anything that takes long."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATE = [
    "torch",
    "numpy",
    "PIL",
    "torchmetrics",
    "captum",
    "transformers",
    "peft",
    "tokenizers",
    "safetensors",
    "pyarrow",
    "pandas",
    "prometheus_client",
    "alembic",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "lmaas.client",
    "lmaas_server.openapi",
    "httpx",
    "pydantic_settings",
]
_START = """
import sys
from pathlib import Path
from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings
app = create_app(Settings(data_dir=Path(sys.argv[1]), prewarm=False))
server_of(app).start()
assert app.test_client().get("/healthz").status_code == 200
server_of(app).close()
print("\\n".join(sys.modules))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """What a fresh process has imported when it has answered; the second start of a data directory."""
    command = [sys.executable, "-c", _START, str(tmp_path_factory.mktemp("start") / "data")]
    subprocess.run(command, check=True, capture_output=True)
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", LATE)
def test_what_takes_long_is_not_imported_to_start(imported, module):
    assert module not in imported


def test_the_server_itself_is_imported(imported):
    assert "lmaas_server.services.predicting" in imported
