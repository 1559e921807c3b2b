"""`lmaas-server`: arguments and environment in, a running server. Knows no route and no service."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmaas._version import __version__

if TYPE_CHECKING:
    from lmaas_server.settings import Settings

__all__ = ["main"]


@click.command(epilog="API keys come from the environment only: LMAAS_SERVER_API_KEYS, comma-separated.")
@click.option("--host", help="Address to listen at.  [LMAAS_SERVER_HOST; 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for a free one.  [LMAAS_SERVER_PORT; 8000]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the database and the files live.  [LMAAS_SERVER_DATA_DIR; .lmaas]",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer.  [LMAAS_SERVER_WORKERS; 1]")
@click.option(
    "--threads", type=click.IntRange(min=4), help="Threads of each, for slow requests.  [LMAAS_SERVER_THREADS; 32]"
)
@click.option("--device", help="Where models learn and answer: cpu, cuda, cuda:N, auto.  [LMAAS_SERVER_DEVICE; cpu]")
@click.version_option(__version__, package_name="lmaas")
def main(**given: Any) -> None:
    """Serve models: train, predict, learn from feedback."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # --help needs no server
    from pydantic import ValidationError

    from lmaas_server.lock import DataDirectoryInUseError
    from lmaas_server.serving import PortInUseError, free_port, serve
    from lmaas_server.settings import Settings

    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        _check_keys(settings)
        _check_device(settings)
        settings = settings.model_copy(update={"port": free_port(settings.host, settings.port)})
    except ValidationError as exc:
        first = exc.errors()[0]
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    except PortInUseError as exc:
        raise click.ClickException(str(exc)) from exc

    def announce(url: str) -> None:
        click.echo(f"lmaas-server {__version__} listening on {url}, data in {settings.data_dir.absolute()}")

    try:
        serve(settings, announce=announce)
    except DataDirectoryInUseError as exc:
        raise click.ClickException(str(exc)) from exc


def _check_keys(settings: Settings) -> None:
    """Refuse before anything is bound; `create_app` refuses too, whoever calls it."""
    from lmaas_server.http.auth import is_loopback

    if not settings.api_keys and not is_loopback(settings.host):
        raise click.ClickException(
            f"{settings.host} can be reached by others, and there are no API keys; "
            "set LMAAS_SERVER_API_KEYS, or listen at 127.0.0.1"
        )


def _check_device(settings: Settings) -> None:
    """Refuse a GPU that is not there; who makes a server without this command is told by its first job.

    torch is asked in a process of its own, and only where a GPU is named: this one would keep its 200 MB, and forks.
    """
    if not settings.device.startswith("cuda"):
        return
    command = [sys.executable, "-P", "-m", "lmaas_server.engine.device", settings.device]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if asked.returncode:
        raise click.ClickException(asked.stderr.strip())


if __name__ == "__main__":
    main()
