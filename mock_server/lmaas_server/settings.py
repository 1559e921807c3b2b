"""The server's settings: the environment (`LMAAS_SERVER_*`) and what the caller of `create_app` names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_PREFIX = "lmaas_server_"


class Settings(BaseModel):
    """Everything that can be set, with its default; see `lmaas-server --help`.

    Read here rather than by pydantic-settings, whose import (dotenv, argparse, the clouds' vaults) takes a twentieth of
    the server's start.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".lmaas")
    """Where the database and the artifacts live."""
    database_url: str | None = None
    """An SQLAlchemy URL; omitted, SQLite at `data_dir/lmaas.db`."""
    api_keys: tuple[SecretStr, ...] = ()
    """Comma-separated in the environment. None: everybody on loopback is welcome."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that answer requests, over one database and one store."""
    threads: int = Field(default=32, ge=4)
    """Threads of each process, for all requests but the light predictions that its event loop answers itself."""
    max_jobs: int = Field(default=1, ge=1)
    """Jobs that run at once."""
    prewarm: bool = True
    """Import torch for jobs when a dataset arrives, so that the job that follows begins at once."""
    job_threads: int = Field(default=2, ge=1)
    """Torch threads of a training job."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|auto)$")
    """Where models learn and answer: `cpu`, `cuda`, `cuda:N`, or `auto`, a GPU where there is one."""
    job_memory_mb: int = Field(default=4096, ge=64)
    """A job whose estimate is above this is refused before it starts."""
    max_upload_mb: int = Field(default=2048, ge=1)
    upload_part_kb: int = Field(default=8192, ge=1)
    """Of the parts of an upload in parts; up to 4 times as much where there would be more than 32, and more than that
    where there would be more than 10,000."""
    upload_hours: float = Field(default=24.0, gt=0)
    """How long an upload in parts may take; what is left of it then is removed."""
    max_uploads: int = Field(default=64, ge=1)
    """Uploads in parts that may be under way."""
    max_body_mb: int = Field(default=64, ge=1)
    """Of requests that are not uploads."""
    max_unpacked_mb: int = Field(default=4096, ge=1)
    """What an archive may unpack to."""
    read_memory_mb: int = Field(default=256, ge=1)
    """Memory for the rows of a file while it is read, whatever its format; more of them stay on disk."""
    max_clip_seconds: float = Field(default=60.0, gt=0, le=3600)
    """How long one clip of sound may play."""
    base_models: Path | None = None
    """A directory of pretrained language models, one in each of its directories, beside the one that is shipped."""
    predictors_mb: int = Field(default=2048, ge=1)
    """Memory for models that answer; the longest unused are dropped and loaded again when they are asked."""
    max_waiting: int = Field(default=1024, ge=1)
    """Requests that may wait for one model; more are told to come again."""
    max_wait_seconds: float = Field(default=10.0, gt=0)
    """How long a request may wait for its model to be free; who would wait longer is told to come again."""
    max_shadowed: int = Field(default=64, ge=1)
    """Requests that may wait for one shadow; more are answered, and not shown to it."""
    rate_limit_per_minute: int | None = Field(default=None, ge=1)
    """Requests per key; omitted, no limit."""
    idempotency_hours: float = Field(default=24.0, gt=0)
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long a stopping server waits for what it has begun."""

    def __init__(self, **given: Any) -> None:
        """Read the environment, whatever the case of its names; what is given goes before it.

        Raises:
            ValidationError: A setting is not what it may be.
        """
        names = {name.lower(): value for name, value in os.environ.items()}
        read = {name.removeprefix(_PREFIX): value for name, value in names.items() if name.startswith(_PREFIX)}
        super().__init__(**{**read, **given})

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value
