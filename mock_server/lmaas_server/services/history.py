"""Where a deployment goes back to: a choice among its revisions. Pure; knows no storage.

A rollback goes to the newest earlier revision that served otherwise than the current one does. What the server itself
took back is no way back: a version that an automatic rollback has removed is in no revision that is chosen, until
somebody puts it there again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import RevisionRecord
from lmaas_server.services.variants import alike, models_of

__all__ = ["AUTOMATIC", "named", "same_as", "way_back"]

AUTOMATIC = "automatic"
"""The cause of a rollback by the server itself."""


def way_back(history: Sequence[RevisionRecord]) -> RevisionRecord:
    """Return the revision to go back to; `history` is newest first, the current one in front.

    Raises:
        ConflictError: `nothing_to_roll_back`, there is none.
    """
    current = history[0]
    removed: set[str] = set()
    for later, revision in pairwise(history):
        if later.cause == AUTOMATIC:
            removed |= models_of(revision.variants) - models_of(later.variants)
        if not models_of(revision.variants) & removed and not alike(revision.variants, current.variants):
            return revision
    raise _nothing(current, removed)


def named(history: Sequence[RevisionRecord], number: int) -> RevisionRecord:
    """Return the revision of a number.

    Raises:
        MissingError: `revision_not_found`.
    """
    found = next((revision for revision in history if revision.revision == number), None)
    if found is None:
        current = history[0]
        message = f"The deployment {current.deployment!r} has no revision {number}; it has 1 to {current.revision}."
        raise MissingError(message, code="revision_not_found", param="revision")
    return found


def same_as(history: Sequence[RevisionRecord], variants: Sequence[dict[str, object]]) -> RevisionRecord | None:
    """Return the newest earlier revision that served as these variants do."""
    return next((revision for revision in history[1:] if alike(revision.variants, variants)), None)


def _nothing(current: RevisionRecord, removed: set[str]) -> ConflictError:
    what = "it is at its first revision" if current.revision == 1 else "every earlier revision serves the same"
    if removed:
        what += f", or {', '.join(sorted(removed))}, which the server took back: name the revision if you want that"
    message = f"The deployment {current.deployment!r} has nothing to go back to: {what}."
    return ConflictError(message, code="nothing_to_roll_back", param="revision")
