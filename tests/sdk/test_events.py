"""Following a job's events through lost connections, by feeding the flow."""

from __future__ import annotations

import pytest
from sdk_samples import answer

from lmaas import APIConnectionError, APIError, APITimeoutError
from lmaas._events import IDLE_LIMIT, MAX_CUTS, followed
from lmaas._request import Answer, Close, Now, Read, Request, Sleep, TransportError
from lmaas._stream import Emit

OPEN = Answer(200, source=object())


class Line:
    """Plays the server's part: what arrives when it is read, at what time."""

    def __init__(self, *connections, last_id=None):
        self.connections = [list(chunks) for chunks in connections]
        self.opened, self.closed, self.slept, self.now = [], 0, [], 0.0
        self.flow = followed("/events", lambda e: e.data, options={}, last_id=last_id, uniform=lambda: 0.0)

    def items(self):
        reply, items = None, []
        while True:
            try:
                action = self.flow.send(reply)
            except StopIteration:
                return items
            reply = self.reply(action, items)

    def reply(self, action, items):
        match action:
            case Request():
                self.opened.append(action.headers.get("last-event-id"))
                self.chunks = self.connections.pop(0)
                return OPEN
            case Read():
                chunk = self.chunks.pop(0)
                if isinstance(chunk, tuple):
                    seconds, chunk = chunk
                    self.now += seconds
                return chunk
            case Now():
                return self.now
            case Close():
                self.closed += 1
            case Sleep():
                self.slept.append(action.seconds)
            case Emit():
                items.append(action.item)
        return None


def event(number):
    return f"id: {number}\ndata: e{number}\n\n".encode()


DONE = b"data: [DONE]\n\n"
CUT = TransportError("read", "reset")


def test_events_come_in_order_until_done():
    line = Line([event(1) + event(2), DONE])
    assert (line.items(), line.closed) == (["e1", "e2"], 1)


@pytest.mark.parametrize("cut", [b"", CUT])
def test_a_stream_that_breaks_off_is_taken_up_after_the_last_event(cut):
    line = Line([event(1), cut], [event(2), DONE])
    assert line.items() == ["e1", "e2"]
    assert (line.opened, line.closed, line.slept) == ([None, "1"], 2, [0.25])


def test_an_end_without_done_raises_when_it_happens_again_and_again():
    line = Line(*[[b""]] * (MAX_CUTS + 1))
    with pytest.raises(APIConnectionError, match=r"without \[DONE\]"):
        line.items()
    assert line.slept == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_an_event_makes_up_for_the_cuts_before_it():
    cuts = [[event(n), b""] for n in range(1, 3 * MAX_CUTS)]
    assert len(Line(*cuts, [DONE]).items()) == 3 * MAX_CUTS - 1


def test_comments_do_not_put_off_the_limit_of_silence():
    comments = [(15.0, b": ping\n\n")] * 4
    line = Line([*comments], [event(1), DONE])
    assert line.items() == ["e1"]
    assert (line.now, len(line.opened), line.slept) == (IDLE_LIMIT, 2, [])


def test_silence_of_a_dead_connection_raises_in_the_end():
    line = Line(*[[(IDLE_LIMIT, b"")]] * 9)
    with pytest.raises(APIConnectionError):
        line.items()


def test_a_read_waits_no_longer_than_the_limit_leaves():
    flow = followed("/events", lambda e: e.data, options={})
    next(flow), flow.send(OPEN), flow.send(100.0)
    assert flow.send(110.0).timeout == IDLE_LIMIT - 10


def test_following_begins_after_the_event_that_is_named():
    line = Line([event(8), DONE], last_id="7")
    assert (line.items(), line.opened) == (["e8"], ["7"])


def test_an_error_within_the_stream_raises():
    line = Line([b'event: error\ndata: {"error": {"message": "disk full", "code": "storage"}}\n\n'])
    with pytest.raises(APIError, match="disk full") as caught:
        line.items()
    assert caught.value.code == "storage"


def test_a_stream_that_cannot_be_opened_raises():
    flow = followed("/events", lambda e: e.data, options={})
    next(flow)
    with pytest.raises(APIError, match="404"):
        flow.send(answer(status=404))


def test_a_limit_reached_in_silence_is_a_timeout():
    line = Line(*[[(IDLE_LIMIT, b"")]] * 9)
    line.flow.send(None), line.flow.send(OPEN), line.flow.send(0.0)
    assert isinstance(line.flow.send(IDLE_LIMIT), Close)
    for _ in range(MAX_CUTS):
        silent(line.flow)
    with pytest.raises(APITimeoutError, match="no event for 60 s"):
        line.flow.send(None)


def silent(flow):
    """Take the flow from a closed connection through a silent one to the next."""
    assert isinstance(flow.send(None), Sleep)
    assert isinstance(flow.send(None), Request)
    flow.send(OPEN), flow.send(0.0)
    assert isinstance(flow.send(IDLE_LIMIT), Close)
