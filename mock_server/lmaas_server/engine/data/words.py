"""Text into words and words into numbers, a whole array at once; knows no vocabulary, no file and no torch.

A word is a run of letters and digits in lower case; every other sign that is not white space is a word of its own, and
so is each Chinese or Japanese character and each emoji, since those are written without spaces. A word's number is a
hash of its bytes: nothing is fitted and nothing needs to be stored, and a word never seen in training has a number too.
Whole numbers of five digits or more count by their length alone: no two telephone numbers are alike, and all are one.

Bytes are sorted into classes by a table, and words begin where the class changes, so the work is done by numpy and
not word by word. UTF-8 makes that simple: the first byte of a character says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmaas_server.engine.data.examples import Array

MAX_WORDS = 2048
"""Of one text; what comes after is not read."""

_SPACE, _LETTER, _SIGN, _CONTINUES, _ALONE3, _ALONE4 = range(6)
_CHUNK_BYTES = 4 << 20
_LONGEST = 4096
"""Bytes of a word after which the powers of its hash repeat."""
_LONG_NUMBER = 5
_FOREIGN = 0x80
"""The first byte that is not ASCII."""


def _classes() -> Array:
    table = np.full(256, _LETTER, dtype=np.uint8)
    table[:33] = _SPACE
    table[127] = _SPACE
    for sign in range(33, 127):
        if not chr(sign).isalnum():
            table[sign] = _SIGN
    table[ord("_")] = _LETTER
    table[0x80:0xC0] = _CONTINUES
    table[0xE2:0xEA] = _ALONE3  # punctuation, kana, Chinese
    table[0xF0:0xF8] = _ALONE4  # emoji, rare characters
    return table


_CLASSES = _classes()
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32
with np.errstate(over="ignore"):
    _POWERS = np.cumprod(np.full(_LONGEST, np.uint64(0x100000001B3)))


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of many texts, one after the other: text i has `numbers[starts[i]:starts[i + 1]]`, each from 1."""

    numbers: Array
    starts: Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        return f"Words({len(self)} texts, {len(self.numbers)} words)"


def words_of(texts: Array) -> Words:
    """Number the words of texts given as an array of UTF-8 bytes (dtype `S`), in chunks of bounded size."""
    step = max(1, _CHUNK_BYTES // max(1, texts.dtype.itemsize))
    found = [_numbered(texts[at : at + step]) for at in range(0, len(texts), step)]
    if not found:
        return Words(np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))
    counts = np.concatenate([counts for _, counts in found])
    return Words(np.concatenate([numbers for numbers, _ in found]), np.concatenate([[0], np.cumsum(counts)]))


def spans(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text begins and ends, counted in characters of the text as it was given."""
    data = np.frombuffer(text.encode("utf-8", "replace") + b"\0", dtype=np.uint8)
    begins = _begins(_CLASSES[data])
    inside = _CLASSES[data] != _SPACE
    place = np.cumsum(_CLASSES[data] != _CONTINUES) - 1  # of the character that each byte belongs to
    starts = np.flatnonzero(begins)
    word = np.cumsum(begins) - 1
    last = np.zeros(len(starts), dtype=np.int64)
    np.maximum.at(last, word[inside], place[inside])
    return list(zip(place[starts].tolist(), (last + 1).tolist(), strict=True))[:MAX_WORDS]


def _numbered(texts: Array) -> tuple[Array, Array]:
    """Return the numbers of all words and how many each text has."""
    flat = _flat(_lowered(texts))
    classes = _CLASSES[flat]
    begins = _begins(classes)
    starts = np.flatnonzero(begins)
    text_of_byte = np.cumsum(flat == 0) - (flat == 0)
    counts = np.bincount(text_of_byte[starts], minlength=len(texts))
    inside = classes != _SPACE
    numbers = _hashed(flat[inside], begins[inside])
    return _cut(numbers, counts)


def _lowered(texts: Array) -> Array:
    """Return texts in lower case: of those in ASCII the table takes care."""
    rows = _matrix(texts)
    foreign = np.flatnonzero((rows >= _FOREIGN).any(axis=1))
    if not len(foreign):
        return texts
    lowered = texts.astype(object)
    for row in foreign.tolist():
        lowered[row] = bytes(texts[row]).decode("utf-8", "replace").lower().encode()
    return lowered.astype("S")


def _matrix(texts: Array) -> Array:
    return np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), texts.dtype.itemsize)


def _flat(texts: Array) -> Array:
    """Return all bytes in lower case, a zero after each text."""
    rows = _matrix(texts)
    lengths = np.char.str_len(texts)
    padded = np.zeros((len(rows), rows.shape[1] + 1), dtype=np.uint8)
    padded[:, :-1] = rows
    return _LOWER[padded[np.arange(padded.shape[1]) <= lengths[:, None]]]


def _begins(classes: Array) -> Array:
    """Return at which bytes a word begins."""
    padded = np.concatenate([np.zeros(4, dtype=np.uint8), classes])
    before = padded[3:-1]
    after_alone = (before == _CONTINUES) & ((padded[1:-3] == _ALONE3) | (padded[:-4] == _ALONE4))
    alone = (classes == _SIGN) | (classes == _ALONE3) | (classes == _ALONE4)
    letter = (classes == _LETTER) & ((before == _SIGN) | after_alone)
    found: Array = alone | letter | ((before == _SPACE) & (classes != _SPACE))
    return found


def _hashed(data: Array, begins: Array) -> Array:
    """Return the number of each word; `data` are the bytes of all words without what is between them."""
    if not len(data):
        return np.empty(0, dtype=np.int32)
    starts = np.flatnonzero(begins)
    word = np.cumsum(begins) - 1
    digit = (data >= ord("0")) & (data <= ord("9"))
    lengths = np.diff(np.append(starts, len(data)))
    long_number = np.logical_and.reduceat(digit, starts) & (lengths >= _LONG_NUMBER)
    letters = np.where(long_number[word], ord("0"), data).astype(np.uint64) + np.uint64(1)
    place = (np.arange(len(data)) - starts[word]) % _LONGEST
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(letters * _POWERS[place], starts)
        # The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the sum moves every bit of the number.
        mixed = (sums ^ (sums >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    numbers: Array = (mixed % np.uint64(2**31 - 2) + np.uint64(1)).astype(np.int32)
    return numbers


def _cut(numbers: Array, counts: Array) -> tuple[Array, Array]:
    if not len(counts) or counts.max() <= MAX_WORDS:
        return numbers, counts
    place = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    return numbers[place < MAX_WORDS], np.minimum(counts, MAX_WORDS)
