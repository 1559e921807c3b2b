"""From items of feedback on texts to tokens that can be learned from, and some kept back. Knows no network.

One fifth of the feedback, chosen by a hash of its id, is the fresh holdout, as with every other model. What is held out
is not trained on under another id either: not the same pair the other way round, nor the same text from another source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.data.messages import question_of
from lmaas_server.engine.data.tokens import Marked, Tokens
from lmaas_server.engine.learning.signals import Item, held_out, latest, row_of
from lmaas_server.engine.learning.sources import JUDGED_FLOOR, parties_of, take_shares
from lmaas_server.errors import InvalidError

LEARNABLE = {"demonstration", "preference", "rating"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One item: `text` is what should have been said, the better of two, or what was rated; `other` the worse."""

    id: str
    kind: str
    text: Marked
    other: Marked | None = None
    good: bool = True
    weight: float = 1.0

    def __repr__(self) -> str:
        return f"Statement({self.id}, {self.kind}, {len(self.text)} tokens)"

    @property
    def texts(self) -> tuple[Marked, ...]:
        """All the texts it is about."""
        return (self.text,) if self.other is None else (self.text, self.other)

    @property
    def prompt(self) -> list[int]:
        """What was asked, in tokens."""
        return self.text.ids[: self.text.learned.index(True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSignals:
    """What feedback says, sorted."""

    fresh: tuple[Statement, ...]
    """To learn from, oldest first."""
    held: tuple[Statement, ...]
    """To judge by."""
    contradictions: int
    """Statements that a later one of the same source about the same has replaced."""
    unusable: int
    """Items that say nothing this model can learn from."""
    capped: dict[str, int] = field(default_factory=dict)
    """By source, how many items are left out because it would say more than its share."""
    lightened: dict[str, float] = field(default_factory=dict)
    """By source, what its weights are multiplied by for the same reason."""
    capped_ids: frozenset[str] = frozenset()
    replaced_ids: frozenset[str] = frozenset()
    """The items that `contradictions` counts."""


def read_language_signals(
    feedback: Iterable[Item],
    tokens: Tokens,
    *,
    form: str,
    context: int,
    retracted: Collection[str],
    max_source_share: float = 1.0,
) -> LanguageSignals:
    """Sort feedback for a model of this tokenizer and context, taught in this `form`: chat or another.

    What a source says beyond `max_source_share` is neither trained on nor judged by.
    """
    gone = set(retracted)
    items = [item for item in feedback if item["id"] not in gone]
    read = {item["id"]: found for item in items if (found := _read(item, tokens, form, context)) is not None}
    said = [item for item in items if item["id"] in read]
    standing = latest(said, _matter)
    parties = parties_of(standing)
    judged = [item for item in standing if held_out(item["id"])]
    judging = take_shares(judged, max_source_share, parties=parties, floor=JUDGED_FLOOR)
    kept_back = {_matter(item) for item in judging.items}
    told = [item for item in standing if not held_out(item["id"]) and _matter(item) not in kept_back]
    learning = take_shares(told, max_source_share, parties=parties)

    def weighed(item: Item) -> Statement:
        return replace(read[item["id"]], weight=float(item.get("weight") or 1.0))

    return LanguageSignals(
        fresh=tuple(weighed(item) for item in learning.items),
        held=tuple(weighed(item) for item in judging.items),
        contradictions=len(said) - len(standing),
        unusable=len(items) - len(said),
        capped=dict(Counter(judging.capped) + Counter(learning.capped)),
        lightened=learning.lightened,
        capped_ids=judging.left_out | learning.left_out,
        replaced_ids=frozenset(item["id"] for item in said) - {item["id"] for item in standing},
    )


def _matter(item: Item) -> tuple[object, ...]:
    """Return what an item speaks about: a text that was shown, or two of one prompt, whichever is the better."""
    if item["kind"] == "preference":
        return ("preference", repr(item["prompt"]), *sorted((item["chosen"], item["rejected"])))
    return (item["kind"], *row_of(item))


def _read(item: Item, tokens: Tokens, form: str, context: int) -> Statement | None:
    """Return the statement, or None where the item teaches this model nothing or its texts do not fit."""
    if item["kind"] not in LEARNABLE:
        return None
    try:
        question = question_of(item["prompt"], "prompt", form=form)
    except InvalidError:
        return None
    asked = question.text if question.messages is None else question.messages
    if asked is None:
        return None

    def marked(text: str, *, ended: bool) -> Marked | None:
        row = tokens.encode_answer(asked, text, ended=ended)
        fitting = Marked(ids=row.ids[: context + 1], learned=row.learned[: context + 1])
        return fitting if any(fitting.learned[1:]) else None

    return _READERS[item["kind"]](item, marked)


_Marks = Callable[..., Marked | None]


def _demonstration(item: Item, marked: _Marks) -> Statement | None:
    text = marked(item["value"], ended=True)
    return None if text is None else Statement(**_of(item), text=text)


def _preference(item: Item, marked: _Marks) -> Statement | None:
    text = marked(item["chosen"], ended=bool(item.get("chosen_ended")))
    other = marked(item["rejected"], ended=bool(item.get("rejected_ended")))
    if text is None or other is None or text.ids == other.ids:
        return None
    return Statement(**_of(item), text=text, other=other)


def _rating(item: Item, marked: _Marks) -> Statement | None:
    text = marked(item.get("shown") or "", ended=bool(item.get("shown_ended")))
    good = item["value"] == 1
    return None if text is None else Statement(**_of(item), text=text, good=good)


def _of(item: Item) -> Json:
    return {"id": item["id"], "kind": item["kind"]}


_READERS: dict[str, Callable[[Item, _Marks], Statement | None]] = {
    "demonstration": _demonstration,
    "preference": _preference,
    "rating": _rating,
}
