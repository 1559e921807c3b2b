"""Pretrained language models on this machine: a directory each, looked at before it is used. Imports no torch.

Only what can be read without running anything is taken: a directory in the layout of `transformers` with weights as
safetensors and a `tokenizer.json`. Pickled weights can run code when they are opened, and a configuration may ask for
code of its own; a directory with either is refused as a whole and says why.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmaas_server.errors import InvalidError, MissingError

__all__ = ["DEFAULT_BASE", "BaseModel", "BaseModels", "chat_template_of", "checked_config", "context_of"]

Json = dict[str, Any]

DEFAULT_BASE = "stories-260k"
SHIPPED = Path(__file__).parents[1] / "base_models"
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx")
_MAX_HEADER = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A directory that holds a model, with what its configuration says of it."""

    name: str
    directory: Path
    config: Json
    parameters: int
    bytes: int
    chat: bool

    def __repr__(self) -> str:
        return f"BaseModel({self.name!r}, {self.model_type}, {self.parameters:,} parameters)"

    @property
    def model_type(self) -> str:
        """The family, as transformers calls it."""
        return str(self.config["model_type"])

    @property
    def context(self) -> int:
        """Tokens that prompt and answer share."""
        return context_of(self.config)

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return int(self.config["vocab_size"])


class BaseModels:
    """All base models: the one that ships with the server, and those of further directories, which come first."""

    def __init__(self, directories: Iterable[Path] = ()) -> None:
        self._directories = (*directories, SHIPPED)

    def __repr__(self) -> str:
        return f"BaseModels({self.names()})"

    def names(self) -> list[str]:
        """Return the name of every directory there is, usable or not, in alphabetical order."""
        return sorted(self._found())

    def __contains__(self, name: object) -> bool:
        return name in self._found()

    def changed_at(self, name: str) -> float:
        """Return when the directory of a model was last changed, in unix seconds; 0 where there is none."""
        directory = self._found().get(name)
        return 0.0 if directory is None else directory.stat().st_mtime

    def get(self, name: str, *, param: str = "base_model") -> BaseModel:
        """Return a model that can be used.

        Raises:
            MissingError: `base_model_not_found`, naming what there is.
            InvalidError: `base_model_refused`: it holds pickled weights or code, or is not complete.
        """
        directory = self._found().get(name)
        if directory is None:
            message = f"There is no base model {name!r}; there is {', '.join(self.names())}."
            raise MissingError(message, code="base_model_not_found", param=param)
        return read_base(name, directory, param=param)

    def _found(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for directory in self._directories:
            for child in sorted(directory.iterdir()) if directory.is_dir() else ():
                if child.is_dir() and not child.name.startswith((".", "_")):
                    found.setdefault(child.name, child)
        return found


def read_base(name: str, directory: Path, *, param: str = "base_model") -> BaseModel:
    """Look at a directory without loading its weights.

    Raises:
        InvalidError: `base_model_refused`, saying why.
    """
    try:
        config = checked_config(directory)
        tensors = dict(_headers(directory))
        _json(directory / "tokenizer.json")
        chat = chat_template_of(directory) is not None
    except (OSError, ValueError, KeyError, struct.error) as exc:
        raise InvalidError(
            f"The base model {name!r} is refused: {exc}", code="base_model_refused", param=param
        ) from exc
    return BaseModel(
        name=name,
        directory=directory,
        config=config,
        parameters=sum(math.prod(shape) for shape in tensors.values()),
        bytes=sum(path.stat().st_size for path in directory.glob("*.safetensors")),
        chat=chat,
    )


def checked_config(directory: Path) -> Json:
    """Return the configuration of a directory that is safe to load.

    Raises:
        ValueError: It is not, or not complete; the message says why.
    """
    names = sorted(path.name for path in directory.iterdir())
    if pickled := [name for name in names if Path(name).suffix in _PICKLED]:
        raise ValueError(
            f"{pickled[0]} is pickled, and opening it may run code; save the weights as safetensors and remove it"
        )
    if code := [name for name in names if name.endswith(".py")]:
        raise ValueError(f"{code[0]} is code of its own, which is never run here; remove it")
    for needed in ("config.json", "tokenizer.json"):
        if needed not in names:
            raise ValueError(f"there is no {needed} in it")
    if not any(name.endswith(".safetensors") for name in names):
        raise ValueError("there are no weights in it; they are read from *.safetensors")
    config = _json(directory / "config.json")
    tokenizer = _json(directory / "tokenizer_config.json") if "tokenizer_config.json" in names else {}
    for file, content in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        if "auto_map" in content:
            raise ValueError(f"{file} asks for remote code (auto_map), which is never run here")
    if not isinstance(config.get("model_type"), str) or not isinstance(config.get("vocab_size"), int):
        raise ValueError("config.json names no model_type and vocab_size")  # noqa: TRY004 - one error for a bad file
    context_of(config)
    return config


def context_of(config: Json) -> int:
    """Return how many tokens a model of this configuration takes.

    Raises:
        ValueError: It does not say.
    """
    for key in _CONTEXT_KEYS:
        if isinstance(config.get(key), int):
            return int(config[key])
    raise ValueError(f"config.json says nothing of the context ({', '.join(_CONTEXT_KEYS)})")


def chat_template_of(directory: Path) -> str | None:
    """Return the chat template that a checkpoint brings, if it brings one."""
    file = directory / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    config = directory / "tokenizer_config.json"
    template = _json(config).get("chat_template") if config.exists() else None
    return template if isinstance(template, str) else None


def _json(path: Path) -> Json:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as exc:
        raise ValueError(f"{path.name} is no JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")  # noqa: TRY004 - one kind of error for every bad file
    return content


def _headers(directory: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield name and shape of every tensor; https://github.com/huggingface/safetensors#format."""
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > min(_MAX_HEADER, path.stat().st_size):
                raise ValueError(f"{path.name} is no safetensors file")
            header = json.loads(stream.read(size))
        yield from ((name, about["shape"]) for name, about in header.items() if name != "__metadata__")
