"""The two kinds of message on the wire; knows no endpoint and no transport.

What the server says is read leniently, so that an old client survives a newer server; what a client
asks is checked strictly, so that a misspelt word is an error and never a silent default.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name a person chose: 1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit."""

Label = int | str
"""A class as the data names it: the integer or the string found in the training targets."""

Metadata = Annotated[dict[str, str], Field(max_length=32)]
"""Up to 32 free words a caller attaches to an object; stored and returned, never read."""


class WireObject(BaseModel):
    """An object the server returned: unknown fields are kept, unknown words of an enum accepted."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


class WireRequest(BaseModel):
    """A message to the server: unknown fields and lax conversions are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True, protected_namespaces=())
