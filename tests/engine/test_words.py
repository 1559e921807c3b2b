"""Text becomes numbered words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.data.words import MAX_WORDS, spans, words_of


def cut(text):
    return [text[start:end] for start, end in spans(text)]


def numbers(*texts):
    found = words_of(np.array([text.encode() for text in texts], dtype=np.bytes_))
    return [found.numbers[a:b].tolist() for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, wörld!", ["Hello", ",", "wörld", "!"]),
        ("don't stop_here", ["don", "'", "t", "stop_here"]),
        ("我爱 a\u2014b", ["我", "爱", "a", "\u2014", "b"]),
        ("👍👍ok", ["👍", "👍", "ok"]),
        ("  \t\n", []),
        ("", []),
    ],
)
def test_words_begin_and_end_where_people_see_it(text, words):
    assert cut(text) == words


def test_case_does_not_matter_in_any_script():
    assert numbers("WÖRLD Ünï", "wörld ünï")[0] == numbers("wörld ünï")[0]


def test_long_numbers_count_by_their_length_and_short_ones_by_their_value():
    (first,), (second,), (longer,) = numbers("07812345678", "07898765432", "078123456789")
    assert first == second != longer
    assert numbers("1234") != numbers("1235")


def test_a_number_is_the_same_in_every_run():
    assert numbers("spam") == [[45956954]]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30), max_size=5))
def test_texts_together_have_the_words_they_have_alone(texts):
    texts = [text for text in texts if text]
    assert numbers(*texts) == [numbers(text)[0] for text in texts]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_there_is_a_number_for_every_word_and_it_fits_31_bits(text):
    # Lower case may add bytes to a character, not words, save where one capital becomes two signs.
    (found,) = numbers(text.lower())
    assert len(found) == len(spans(text.lower()))
    assert all(0 < number < 2**31 - 1 for number in found)


def test_a_text_without_end_is_cut():
    (found,) = numbers("word " * (MAX_WORDS + 10))
    assert len(found) == MAX_WORDS
