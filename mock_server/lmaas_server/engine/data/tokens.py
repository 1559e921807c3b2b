"""Text as a language model sees it: tokens, there and back, the answers of a conversation marked. Imports no torch.

The tokenizer is a `tokenizer.json`, read by `tokenizers` alone: the classes of transformers take seconds to import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork that jobs begin with

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lmaas_server.engine.base_models import chat_template_of
from lmaas_server.engine.data.chat import DEFAULT_TEMPLATE, Messages, render
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.spill import Room

Json = dict[str, Any]
SPECIAL = ("<unk>", "<s>", "</s>")
_BOS, _EOS = 1, 2
_TRAINING_PIECE = 65_536
_ENCODED_PIECE = 1 << 16
"""Characters; what a tokenizer makes of them on the way takes a hundred times as many bytes."""
_CONTEXT = 6
_LONGEST_CHARACTER = 4
"""Bytes of UTF-8, and so tokens of one character at most."""
_UNKNOWN = "\ufffd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Tokens of one example; `learned` says of each whether it is part of an answer."""

    ids: list[int]
    learned: list[bool]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """A tokenizer with what surrounds it: the tokens that begin and end a text, and the chat template."""

    tokenizer: Tokenizer
    bos: int | None
    ends: frozenset[int]
    eos: int | None
    template: str

    def __repr__(self) -> str:
        return f"Tokens({self.tokenizer.get_vocab_size():,} tokens)"

    @classmethod
    def load(cls, directory: Path) -> Tokens:
        """Read the tokenizer of a checkpoint's directory."""
        config = _json(directory / "config.json")
        generation = _json(directory / "generation_config.json")
        ends = [*_listed(config.get("eos_token_id")), *_listed(generation.get("eos_token_id"))]
        return cls(
            tokenizer=Tokenizer.from_file(str(directory / "tokenizer.json")),
            bos=next(iter(_listed(config.get("bos_token_id"))), None),
            ends=frozenset(ends),
            eos=ends[0] if ends else None,
            template=chat_template_of(directory) or DEFAULT_TEMPLATE,
        )

    @classmethod
    def fit(cls, kind: str, texts: Iterable[str], *, vocabulary: int) -> Tokens:
        """Make a tokenizer from training texts: `char`, one token for each character, or `bpe`, byte-level pairs."""
        tokenizer = _FITTERS[kind](texts, vocabulary)
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", _BOS)])
        return cls(tokenizer=tokenizer, bos=_BOS, ends=frozenset({_EOS}), eos=_EOS, template=DEFAULT_TEMPLATE)

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def files(self) -> dict[str, bytes]:
        """Return what `load` reads beside the model's configuration."""
        words = {"bos_token": self._word(self.bos), "eos_token": self._word(self.eos)}
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{key: word for key, word in words.items() if word},
            "chat_template": self.template,
        }
        return {
            "tokenizer.json": self.tokenizer.to_str().encode(),
            "tokenizer_config.json": json.dumps(settings, indent=1).encode(),
        }

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, begun as the model's texts begin."""
        begun = self.bos is not None and text.startswith(self._word(self.bos) or "\0")
        return self.tokenizer.encode(text, add_special_tokens=not begun).ids

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of a long text, without what begins or ends one."""
        if isinstance(self.tokenizer.model, models.WordLevel):
            # One token a character: looking them up is forty times faster than splitting by a pattern.
            known = self.tokenizer.get_vocab(with_added_tokens=False)
            return [known.get(character, 0) for character in text]
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_running(self, pieces: Iterable[str], room: Room) -> Array:
        """Return the tokens of a text that comes in pieces, begun as texts are, without what ends one; int32.

        Pieces are encoded so many together that words across their seams are rare, and never all at once.
        """
        found = room.gather(np.int32)
        if self.bos is not None:
            found.add(np.array([self.bos]))
        held: list[str] = []
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= _ENCODED_PIECE:
                found.add(np.array(self.encode_text("".join(held))))
                held, size = [], 0
        if held:
            found.add(np.array(self.encode_text("".join(held))))
        return found.finish()

    def encode_question(self, messages: Messages) -> list[int]:
        """Return the tokens of a conversation up to where the answer begins."""
        return self.encode(self._rendered(messages, ask=True))

    def encode_completion(self, prompt: str, completion: str) -> Marked:
        """Return prompt and completion, of which the completion and the token that ends it are learned."""
        ids = self.encode(prompt)
        answer = self._ended(self._continued(prompt, ids, completion))
        return Marked(ids=ids + answer, learned=[False] * len(ids) + [True] * len(answer))

    def encode_answer(self, asked: str | Messages, answer: str, *, ended: bool = True) -> Marked:
        """Return what was asked, a text or a conversation, with one answer, which alone is learned.

        The token that ends a text belongs to it where the answer `ended` by itself; one that was cut off has none.
        """
        text = asked if isinstance(asked, str) else self._rendered(asked, ask=True)
        ids = self.encode(text)
        more = self._continued(text, ids, answer)
        more = self._ended(more) if ended else more
        return Marked(ids=ids + more, learned=[False] * len(ids) + [True] * len(more))

    def encode_conversation(self, messages: Messages) -> Marked:
        """Return a conversation of which every answer, with the token that ends it, is learned."""
        ids: list[int] = []
        learned: list[bool] = []
        text = ""
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            for upto, ask in ((place, True), (place + 1, False)):
                longer = self._rendered(messages[:upto], ask=ask)
                if not longer.startswith(text):
                    text, ids, learned = (
                        "",
                        [],
                        [],
                    )  # a template that rewrites what was said: only the last answer counts
                added = self._continued(text, ids, longer[len(text) :]) if ids else self.encode(longer)
                added = added if ask else self._ended(added)
                ids, text = ids + added, longer
                learned += [not ask] * len(added)
        return Marked(ids=ids, learned=learned)

    def stream(self, ids: Sequence[int]) -> TextStream:
        """Return what turns the tokens that follow `ids` into text, piece by piece."""
        return TextStream(self.tokenizer, ids)

    def word(self, token: int) -> str:
        """Return one token as text; what is no text by itself is shown as the vocabulary spells it."""
        text = self.tokenizer.decode([token], skip_special_tokens=False)
        spelled = self.tokenizer.id_to_token(token) or ""
        if spelled.startswith("▁"):
            return spelled.replace("▁", " ")
        return spelled if "\ufffd" in text or not text else text

    def _word(self, token: int | None) -> str | None:
        return None if token is None else self.tokenizer.id_to_token(token)

    def _rendered(self, messages: Messages, *, ask: bool) -> str:
        bos, eos = self._word(self.bos) or "", self._word(self.eos) or ""
        return render(self.template, messages, ask=ask, bos_token=bos, eos_token=eos)

    def _ended(self, answer: list[int]) -> list[int]:
        if self.eos is None or any(token in self.ends for token in answer):
            return answer
        return [*answer, self.eos]

    def _continued(self, text: str, ids: list[int], more: str) -> list[int]:
        """Return the tokens of `more` where it follows `text`, whose tokens `ids` stay as a prompt's would be."""
        whole = self.encode(text + more)
        if whole[: len(ids)] == ids:
            return whole[len(ids) :]
        # The two merge across the seam. A line end before it keeps a tokenizer from adding a space in front.
        seam = self.encode_text("\n")
        apart = self.encode_text("\n" + more)
        return apart[len(seam) :] if apart[: len(seam)] == seam else self.encode_text(more)


class TextStream:
    """Tokens in, text out, as soon as it is certain: a character of several tokens comes with its last.

    A token's text depends on those before it, so a few of them are decoded along. The stream that `tokenizers` has for
    this gives up at bytes that are no text, which a warm enough model writes.
    """

    def __init__(self, tokenizer: Tokenizer, ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(ids[-_CONTEXT:])
        self._said = len(self._ids)
        self._before = self._decoded()

    def __repr__(self) -> str:
        return f"TextStream({len(self._ids) - self._said} tokens held)"

    def push(self, token: int) -> str:
        """Return the text that this token completes, which may be none."""
        self._ids.append(token)
        text = self._decoded()
        held = len(self._ids) - self._said
        if text.endswith(_UNKNOWN) and held < _LONGEST_CHARACTER:
            return ""
        piece = text[len(self._before) :]
        self._ids = self._ids[-max(_CONTEXT, held) :]
        self._said = len(self._ids)
        self._before = self._decoded()
        return piece

    def _decoded(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)


def _fit_characters(texts: Iterable[str], _: int) -> Tokenizer:
    found: set[str] = set()
    for text in texts:
        found.update(text)
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *sorted(found)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _fit_pairs(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    return tokenizer


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for at in range(0, len(text), _TRAINING_PIECE):
            yield text[at : at + _TRAINING_PIECE]


_FITTERS = {"char": _fit_characters, "bpe": _fit_pairs}


def _json(path: Path) -> Json:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _listed(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
