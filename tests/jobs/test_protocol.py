"""Messages and the channel: what is said arrives as it was said."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas_server.engine.reports import Checkpointed, Message, Metrics, Progress
from lmaas_server.jobs.channel import Channel
from lmaas_server.jobs.protocol import Cancelled, Done, Exited, Failed, Paused, from_json, to_json

NUMBERS = st.integers(0, 2**53)
JSON = st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text(), max_size=3)
PATHS = st.text("abc/", min_size=1).map(Path)
SAID = st.one_of(
    st.builds(Message, st.sampled_from(["info", "warning"]), st.text(), JSON),
    st.builds(Progress, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(Metrics, NUMBERS, NUMBERS, JSON),
    st.builds(Checkpointed, NUMBERS, NUMBERS, JSON, PATHS, NUMBERS),
    st.builds(Done, st.none() | PATHS, JSON, JSON, st.none() | JSON),
    st.builds(Failed, st.text(), st.text()),
    st.builds(Exited, st.none() | NUMBERS, st.none() | NUMBERS),
    st.just(Paused()),
    st.just(Cancelled()),
)


@pytest.fixture
def channels():
    ends = [Channel(sock) for sock in socket.socketpair()]
    yield ends
    for end in ends:
        end.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(SAID, max_size=6))
def test_every_message_arrives_as_it_was_said(messages):
    left, right = (Channel(sock) for sock in socket.socketpair())
    for said in messages:
        left.send(to_json(said))
    assert [from_json(right.receive()) for _ in messages] == messages
    left.close()
    right.close()


def test_a_line_its_writer_was_killed_in_is_skipped(channels):
    left, right = channels
    left._socket.sendall(b'{"type": "mess\n{"type": "exited", "signal": 9}\n')
    assert from_json(right.receive()) == Exited(signal=9)


def test_nothing_is_waited_for_where_waiting_is_not_wanted(channels):
    assert channels[0].receive(wait=False) is None


def test_the_end_of_the_other_side_is_an_eof_and_sending_to_it_says_so(channels):
    channels[1].close()
    with pytest.raises(EOFError):
        channels[0].receive()
    channels[0].send({})
    assert not channels[0].send({})


@pytest.mark.parametrize("value", [{}, {"type": "nonsense"}, {"type": "progress"}, {"type": "paused", "x": 1}])
def test_what_is_no_message_is_refused(value):
    with pytest.raises(ValueError, match=r"message|fields"):
        from_json(value)
