"""Conversations as text: the template a model was taught with, rendered. Knows no tokens.

A template is Jinja, as `transformers` stores it; it comes with a model's files, so it runs in a sandbox.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmaas_server.errors import InvalidError

Messages = Sequence[dict[str, Any]]

DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '' if loop.first else '\\n' }}{{ message['role'] }}:\n{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}"
    "{% endfor %}"
    "{{ '\\nassistant:\\n' if add_generation_prompt else '' }}"
)
"""For models that bring none: plain words, so that it needs no token a base model does not have."""


def render(template: str, messages: Messages, *, ask: bool, bos_token: str = "", eos_token: str = "") -> str:
    """Return a conversation as text; `ask` opens the answer that is to come.

    Raises:
        InvalidError: `template_refused`: the model's template does not take these messages.
    """
    try:
        text: str = _compiled(template).render(
            messages=list(messages), add_generation_prompt=ask, bos_token=bos_token, eos_token=eos_token
        )
    except (TemplateError, TypeError, KeyError) as exc:
        raise InvalidError(
            f"the model's chat template does not take these messages: {exc}", code="template_refused", param="messages"
        ) from exc
    return text


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: str) -> NoReturn:
    """Let a template say no, as templates of transformers do."""
    raise TemplateError(message)
