"""What happened to a job or a deployment, as it was written down: read, or followed live. Knows no other endpoint."""

from __future__ import annotations

from typing import TypeVar

from lmaas import types
from lmaas._events import followed, listed
from lmaas._listing import Listing, list_query
from lmaas._request import CallOptions
from lmaas._stream import EmitFlow

EntryT = TypeVar("EntryT", "types.JobEvent", "types.DeploymentEvent")


def entries(
    path: str,
    kind: type[EntryT],
    pages: type[types.Page[EntryT]],
    *,
    follow: bool,
    after: EntryT | None,
    options: CallOptions,
) -> EmitFlow[EntryT]:
    """Emit the entries of the diary at `path` in order: those that are there or, with `follow`, also those to come."""
    if follow:
        last_id = None if after is None else str(after.seq)
        return followed(path, lambda event: kind.model_validate_json(event.data), options=options, last_id=last_id)
    query = list_query(after=None if after is None else after.id, limit=1000, order="asc")
    return listed(Listing(path, pages, query, options))
