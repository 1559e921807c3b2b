"""One row as its answer can be explained: where it lies, where nothing would lie, and what runs from there.

Attributions are computed for numbers that a network can be led along, from a baseline to the row. For pictures, sound
and tensors these are what the network takes; for words and categories, which have no in-between, they are their
vectors. Each kind of inputs has a function in POINTS; a new kind adds one. Knows no method.

    kind     part of the row          baseline
    tensor   a number                 0 in all numbers as the network sees them: the mean of the training rows
    image    a channel of a pixel     a black picture
    audio    a band in a frame        the mean level of the clip everywhere
    text     a word                   no word
    table    a column                 every number at its median, every category one never seen
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmaas_server.engine.architectures.table_layers import CategoryVectors
from lmaas_server.engine.architectures.text_layers import Attention, NgramBag
from lmaas_server.engine.data.audio_features import centre_hertz
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.log_mel import AudioFeed
from lmaas_server.engine.data.words import spans
from lmaas_server.engine.serving.predictor import Predictor

_MOST_PARTS = 1024
_GRID = 14
"""Parts of a picture in height and width that occlusion covers one after the other."""
_BANDS, _FRAMES = 4, 4
_DIGITS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """A row laid out for a method.

    `at` and `baseline` are (1, ...), `forward` takes (n, ...) to (n, outputs), `parts` numbers the part of the row that
    each number of `at` belongs to. `shaped` turns attributions of `at` into what the answer says; how several numbers
    of one part become one is the method's to say.
    """

    at: Tensor
    baseline: Tensor
    forward: Callable[[Tensor], Tensor]
    parts: Tensor
    shaped: Callable[[Tensor, Pool], Json]


Pool = Callable[[Tensor], Tensor]
"""(parts, numbers) -> (parts,): a sum, a length or a mean over the numbers of a part."""


def point_of(predictor: Predictor, rows: Array) -> Point:
    """Lay out the one row of `rows`, which is raw and good."""
    return POINTS[predictor.input["kind"]](predictor, rows)


def numbers_of(values: Tensor) -> Any:
    """Return nested lists of numbers with as many digits as float32 has, so that JSON is not longer than it need be."""
    array = values.detach().cpu().double().numpy()
    top = float(np.abs(array).max(initial=0.0))
    return np.round(array, _DIGITS - int(np.floor(np.log10(top))) if top else 0).tolist()


def _of_numbers(predictor: Predictor, rows: Array) -> Point:
    at = predictor.feed.rows(rows)  # (1, *shape)
    count = at[0].numel()
    parts = torch.arange(count) * min(count, _MOST_PARTS) // count
    return Point(
        at=at,
        baseline=torch.zeros_like(at),
        forward=_whole(predictor),
        parts=parts.reshape(at.shape),
        shaped=lambda found, _: {"attributions": numbers_of(found.reshape(predictor.input["shape"]))},
    )


def _of_picture(predictor: Predictor, rows: Array) -> Point:
    at = predictor.feed.rows(rows)  # (1, channels, height, width)
    _, _, height, width = at.shape
    down, across = (torch.arange(size) * min(_GRID, size) // size for size in (height, width))
    return Point(
        at=at,
        baseline=predictor.feed.rows(np.zeros_like(rows)),
        forward=_whole(predictor),
        parts=(down[:, None] * _GRID + across).expand_as(at),
        shaped=lambda found, _: {"attributions": numbers_of(found[0].permute(1, 2, 0))},
    )


def _of_sound(predictor: Predictor, rows: Array) -> Point:
    feed = predictor.feed
    if not isinstance(feed, AudioFeed):
        raise TypeError(f"sound comes by an AudioFeed, not by {type(feed).__name__}")
    at, fitted = feed.rows(rows), feed.preprocessing  # (1, bands, frames)
    covered = feed.covered(rows[0])
    blocks = torch.arange(at.shape[1])[:, None] // _BANDS * at.shape[2] + torch.arange(at.shape[2]) // _FRAMES
    about = {
        "levels": numbers_of(feed.loudness(rows[0])[:, :covered]),
        "hertz": [round(hertz, 1) for hertz in centre_hertz(fitted.sample_rate, fitted.bands)],
        "frame_seconds": fitted.hop / fitted.sample_rate,
    }
    return Point(
        at=at,
        baseline=torch.zeros_like(at),
        forward=_whole(predictor),
        parts=blocks.expand_as(at),
        # Beyond a clip's end every frame is at the baseline.
        shaped=lambda found, _: {"attributions": numbers_of(found[0, :, :covered]), **about},
    )


def _of_text(predictor: Predictor, rows: Array) -> Point:
    encoder, rest = predictor.network[0], predictor.network[1:]
    if not isinstance(encoder, NgramBag | Attention):
        raise TypeError(f"text is encoded by a bag or by attention, not by {type(encoder).__name__}")
    words = predictor.feed.rows(rows)  # (1, words)
    entries = encoder.entries(words)  # (1, n-grams)
    at = nn.functional.embedding(entries, encoder.table.weight).detach()  # (1, n-grams, dimensions)
    shares = _shares(words.shape[1], entries.shape[1])
    text = bytes(rows[0]).decode("utf-8", "replace")
    places = spans(text)
    about = {"spans": places, "tokens": [text[first:last] for first, last in places]}

    def forward(vectors: Tensor) -> Tensor:
        known = entries.expand(len(vectors), -1)
        return _in_units(predictor, rest(encoder.encoded(vectors, known)))

    def shaped(found: Tensor, pool: Pool) -> Json:
        return {"attributions": numbers_of((pool(found[0]) @ shares)[: len(places)]), **about}

    parts = torch.arange(entries.shape[1])[None, :, None].expand_as(at)
    return Point(at=at, baseline=torch.zeros_like(at), forward=forward, parts=parts, shaped=shaped)


def _shares(words: int, grams: int) -> Tensor:
    """Return how an n-gram is shared by its words, alike: (n-grams, words); n-grams of one word come first."""
    found = torch.zeros(grams, words)
    row, length = 0, 1
    while row < grams:
        for first in range(words - length + 1):
            found[row, first : first + length] = 1 / length
            row += 1
            if row == grams:
                break
        length += 1
    return found


def _of_table(predictor: Predictor, rows: Array) -> Point:
    vectors, rest = predictor.network[0], predictor.network[1:]
    if not isinstance(vectors, CategoryVectors):
        raise TypeError(f"a table begins with the vectors of its categories, not with {type(vectors).__name__}")
    features = predictor.feed.rows(rows)  # (1, numbers + categories)
    at = vectors(features).detach()  # (1, numbers + all dimensions)
    names = [column["name"] for column in predictor.input["columns"]]
    columns = _columns(predictor, vectors)

    def shaped(found: Tensor, pool: Pool) -> Json:
        of_column = {name: found[0, columns == index] for index, name in enumerate(names)}
        pooled = torch.stack([pool(part[None])[0] if len(part) else torch.zeros(()) for part in of_column.values()])
        return {"attributions": dict(zip(names, numbers_of(pooled), strict=True))}

    return Point(
        at=at,
        baseline=vectors(torch.zeros_like(features)).detach(),
        forward=lambda numbers: _in_units(predictor, rest(numbers)),
        parts=columns[None],
        shaped=shaped,
    )


def _columns(predictor: Predictor, vectors: CategoryVectors) -> Tensor:
    """Return which column each number that enters the first linear layer comes from."""
    fitted: Any = predictor.feed.preprocessing  # type: ignore[attr-defined] # of a TableFeed
    tables: list[Any] = list(vectors.tables)
    widths = [(number.column, number.width) for number in fitted.numbers]
    widths += [(c.column, t.weight.shape[1]) for c, t in zip(fitted.categories, tables, strict=True)]
    return torch.tensor([column for column, width in widths for _ in range(width)], dtype=torch.int64)


def _whole(predictor: Predictor) -> Callable[[Tensor], Tensor]:
    return lambda batch: _in_units(predictor, predictor.network(batch))


def _in_units(predictor: Predictor, outputs: Tensor) -> Tensor:
    """Return logits as they are, and values in the units of the data."""
    return predictor.scale.restore(outputs) if predictor.scale else outputs


POINTS: dict[str, Callable[[Predictor, Array], Point]] = {
    "audio": _of_sound,
    "image": _of_picture,
    "table": _of_table,
    "tensor": _of_numbers,
    "text": _of_text,
}
