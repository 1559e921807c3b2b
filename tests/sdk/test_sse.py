"""Server-sent events, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas._sse import EventDecoder, ServerEvent


def events(*chunks: bytes) -> list[ServerEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


LINE = st.text(alphabet=st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=20)
EVENT = st.tuples(LINE, st.lists(LINE, min_size=1, max_size=3), st.sampled_from(["\n", "\r", "\r\n"]))


@given(st.lists(EVENT, max_size=4), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(wanted, data):
    text = "".join(
        f": comment{end}id: {number}{end}event: e{end}" + "".join(f"data: {line}{end}" for line in lines) + end
        for number, (_, lines, end) in enumerate(wanted)
    )
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    expected = [ServerEvent("\n".join(lines), "e", str(n)) for n, (_, lines, _) in enumerate(wanted)]
    # A lone final \r is held back until the next byte tells whether it is half of \r\n.
    assert events(*parts, b"\n") == expected


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_no_bytes_upset_it(chunks):
    assert all(isinstance(event.data, str) for event in events(*chunks))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [ServerEvent("a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [ServerEvent("a")]),
        (b"data:a\ndata:\n\n", [ServerEvent("a\n")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [ServerEvent("a", "x"), ServerEvent("b")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [ServerEvent("a", id="7"), ServerEvent("b", id="7")]),
        (b"id: \0\ndata: a\n\n", [ServerEvent("a")]),
        (b"retry: 10\nunknown: x\n: comment\n\n", []),
        (b"data: unfinished\n", []),
        (b"event: only\n\n", []),
    ],
)
def test_the_standard_is_followed(stream, expected):
    assert events(stream) == expected
