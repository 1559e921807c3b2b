"""What is public, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lmaas
import lmaas.types

PUBLIC = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncFeedbackBuffer",
    "AsyncItems",
    "AsyncLMaaS",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "CallOptions",
    "ChecksumError",
    "ConflictError",
    "DeploymentFailedError",
    "FeedbackBuffer",
    "FeedbackBufferError",
    "FeedbackItemError",
    "InternalServerError",
    "InvalidRequestError",
    "Items",
    "JobFailedError",
    "JobTimeoutError",
    "LMaaS",
    "LMaaSError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "RawResponse",
    "Stream",
    "UnprocessableEntityError",
    "__version__",
    "types",
]
NOUNS = {
    "base_models": "list retrieve",
    "datasets": "content create delete list retrieve rows",
    "jobs": "as_completed cancel checkpoints create events list pause resume retrieve wait wait_all",
    "models": "delete delete_alias lineage list retrieve set_alias weights",
    "deployments": "create delete events follow_stats list promote retrieve revisions rollback stats update wait",
    "predictions": "create delete list retrieve",
    "feedback": "buffer create delete list retract retrieve",
}


def loaded_by(code: str) -> set[str]:
    """Return the modules a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these():
    assert lmaas.__all__ == PUBLIC == sorted(lmaas.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_loaded(name):
    assert getattr(lmaas, name) is not None
    assert name in dir(lmaas)


def test_every_type_can_be_loaded():
    assert all(getattr(lmaas.types, name) is not None for name in lmaas.types.__all__)
    assert set(lmaas.types.__all__) <= set(dir(lmaas.types))


@pytest.mark.parametrize("module", [lmaas, lmaas.types])
def test_an_unknown_name_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing


@pytest.mark.parametrize(("noun", "methods"), NOUNS.items())
def test_the_methods_of_each_noun_are_these(noun, methods):
    kind = type(getattr(lmaas.LMaaS(), noun))
    assert sorted(name for name in vars(kind) if name[0] != "_" and name != "with_raw_response") == methods.split()


def test_the_verbs_are_these():
    from lmaas._verbs import Verbs

    verbs = {name for name in dir(Verbs) if name[0] != "_"} - NOUNS.keys()
    assert verbs == {"train", "evaluate", "deploy", "predict", "stream", "explain", "update"}


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("import lmaas")
    assert not loaded & {"pydantic", "httpx", "numpy", "torch", "flask", "asyncio", "ssl", "typing"}


def test_a_first_client_loads_no_http_library_nor_pydantic_nor_asyncio_nor_numpy():
    loaded = loaded_by("import lmaas; lmaas.LMaaS()")
    assert not loaded & {"httpx", "ssl", "email", "pydantic", "asyncio", "numpy", "torch", "flask", "click", "rich"}


def test_who_watches_a_job_loads_no_architecture_and_no_optimizer():
    loaded = loaded_by("import lmaas; lmaas.types.Job")
    assert not loaded & {"lmaas.types.architectures", "lmaas.types.optimizers"}


def test_a_client_over_aiohttp_does_without_httpx():
    ask = "asyncio.run(lmaas.AsyncLMaaS(transport='aiohttp', base_url='http://127.0.0.1:1').jobs.retrieve('a'))"
    loaded = loaded_by(f"import asyncio, contextlib, lmaas\nwith contextlib.suppress(lmaas.APIConnectionError): {ask}")
    assert "aiohttp" in loaded
    assert "httpx" not in loaded


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == lmaas.__version__
