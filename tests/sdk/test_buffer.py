"""The buffered sender: nothing said to it is lost silently, in either client."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import subprocess
import sys
import threading

import httpx
import pytest
from sdk_samples import PREDICTION

from lmaas import FeedbackBufferError, FeedbackItemError, InvalidRequestError, LMaaSError
from lmaas.types import Prediction

TWO = Prediction.model_validate(PREDICTION)
LATE = 60.0
"""An age no test waits for."""


class Store:
    """Answers feedback as the server does: `wrong` labels are errors in their place, `down` calls fail whole."""

    def __init__(self, *, wrong=(), down=0, largest=10_000, status=503):
        self.batches, self.keys = [], []
        self.wrong, self.down, self.largest, self.status = wrong, down, largest, status
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def __call__(self, request):
        self.open.wait(10)
        if self.down:
            self.down -= 1
            error = {"message": "not now", "type": "t", "param": None, "code": "draining"}
            return httpx.Response(self.status, headers={"retry-after-ms": "1"}, json={"error": error})
        body = json.loads(request.content)
        if len(body["items"]) > self.largest:
            return httpx.Response(413, json={"error": {"message": "too large", "code": "body_too_large"}})
        assert body["partial"] is True
        self.keys.append(request.headers["idempotency-key"])
        self.batches.append(body["items"])
        self.arrived.release()
        return httpx.Response(
            200, json={"object": "list", "data": [self.outcome(n, i) for n, i in enumerate(body["items"])]}
        )

    def outcome(self, place, item):
        if item["value"] in self.wrong:
            error = {"message": "no such class", "type": "t", "param": f"items[{place}].value"}
            return {"error": {**error, "code": "feedback_invalid"}}
        rest = {"weight": 1.0, "deployment": "d", "model": "m@1", "created_at": 1.0}
        return {**item, **rest, "object": "feedback"}

    @property
    def values(self):
        return [item["value"] for batch in self.batches for item in batch]


@pytest.fixture
def store():
    return Store()


def buffer(connect, store, **plan):
    """A buffer of a client that tries everything three times."""
    return connect(store).feedback.buffer(**{"max_age": LATE, **plan})


def test_what_was_said_is_sent_in_batches_by_the_end_of_the_block(connect, store):
    with buffer(connect, store, max_items=4) as send:
        for value in range(10):
            send("pred-1", labels=value)
    assert store.values == list(range(10))
    assert [len(batch) for batch in store.batches[:2]] == [4, 4]
    assert len({item["id"] for batch in store.batches for item in batch}) == 10
    assert len(set(store.keys)) == len(store.batches)


def test_a_batch_goes_when_its_oldest_item_is_of_age(connect, store):
    with buffer(connect, store, max_age=0.01) as send:
        send("pred-1", labels=1)
        assert store.arrived.acquire(timeout=10)
    assert store.values == [1]


def test_a_full_batch_does_not_wait_for_anything(connect, store):
    with buffer(connect, store, max_items=2) as send:
        send(TWO, labels=[1, 2])
        assert store.arrived.acquire(timeout=10)


def test_a_flush_returns_once_everything_said_so_far_is_stored(connect, store):
    with buffer(connect, store) as send:
        send("pred-1", labels=1)
        send.flush()
        assert store.values == [1]
        send("pred-1", labels=2)
    assert store.values == [1, 2]


def test_a_call_that_fails_in_passing_is_tried_again_under_the_same_key(connect):
    store = Store(down=2)
    with buffer(connect, store) as send:
        send("pred-1", labels=1)
    assert store.values == [1]


def test_items_that_are_refused_are_named_at_the_end_and_the_others_are_stored(connect):
    store = Store(wrong={3, 5})
    send = buffer(connect, store)
    for value in range(8):
        send("pred-1", labels=value)
    with pytest.raises(FeedbackBufferError, match="2 items of feedback could not be stored") as caught:
        send.close()
    assert [error.item.value for error in caught.value.errors] == [3, 5]
    assert {(error.code, error.param) for error in caught.value.errors} == {("feedback_invalid", "value")}
    assert len(store.values) == 8


def test_a_call_that_fails_for_good_is_an_error_of_each_of_its_items(connect):
    with pytest.raises(FeedbackBufferError) as caught, buffer(connect, Store(down=99, status=403)) as send:
        send(TWO, labels=[1, 2])
    assert [(error.code, error.cause.status) for error in caught.value.errors] == [("draining", 403)] * 2


def test_errors_pickle_with_their_items(connect):
    with pytest.raises(FeedbackBufferError) as caught, buffer(connect, Store(wrong={1})) as send:
        send("pred-1", labels=1)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - what this test has just written
    assert str(again) == str(caught.value)
    assert again.errors[0].item == caught.value.errors[0].item


def test_a_callback_is_told_as_they_come_and_nothing_is_raised(connect):
    told = []
    with buffer(connect, Store(wrong={1}), on_error=told.append) as send:
        send(TWO, labels=[0, 1])
    assert [error.item.value for error in told] == [1]
    assert list(send.errors) == told
    assert isinstance(told[0], FeedbackItemError)


def test_a_callback_that_raises_stops_nothing(connect, caplog):
    store = Store(wrong={1})

    def refuse(error):
        raise ValueError("no thanks")

    with buffer(connect, store, max_items=1, on_error=refuse) as send:
        send(TWO, labels=[1, 2])
    assert store.values == [1, 2]
    assert "no thanks" in caplog.text


def test_a_callback_may_say_it_again_though_the_buffer_is_full(connect):
    store = Store(wrong={1})
    with connect(store).feedback.buffer(
        max_items=1, max_waiting=1, on_error=lambda error: send("pred-1", labels=2)
    ) as send:
        send("pred-1", labels=1)
    assert store.values == [1, 2]


def test_an_error_of_the_block_is_not_hidden_by_those_of_the_buffer(connect):

    def talk():
        with buffer(connect, Store(wrong={1})) as send:
            send("pred-1", labels=1)
            raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        talk()
    assert "1 item of feedback could not be stored" in caught.value.__notes__[0]


def test_a_flush_raises_what_was_not_stored_and_says_it_once(connect):
    with buffer(connect, Store(wrong={1})) as send:
        send("pred-1", labels=1)
        with pytest.raises(FeedbackBufferError):
            send.flush()
        assert send.errors == ()


def test_a_buffer_that_is_full_makes_the_sender_wait(connect, store):
    store.open.clear()
    said = []

    def talk():
        for value in range(4):
            send("pred-1", labels=value)
            said.append(value)

    with buffer(connect, store, max_items=1, max_waiting=2) as send:
        talker = threading.Thread(target=talk)
        talker.start()
        talker.join(0.05)
        assert talker.is_alive()
        assert len(said) <= 2
        store.open.set()
        talker.join(10)
    assert store.values == [0, 1, 2, 3]


def test_a_prediction_of_more_rows_than_the_buffer_holds_goes_in_parts(connect, store):
    with buffer(connect, store, max_items=10, max_waiting=20) as send:
        send("pred-1", labels=list(range(100)))
    assert store.values == list(range(100))


def test_a_body_that_is_too_large_goes_in_halves(connect):
    store = Store(largest=3)
    with buffer(connect, store, max_items=10) as send:
        send("pred-1", labels=list(range(10)))
    assert store.values == list(range(10))


def test_wrong_arguments_are_refused_at_once_and_nothing_is_sent(connect, store):
    with buffer(connect, store) as send:
        with pytest.raises(InvalidRequestError, match="2 rows"):
            send(TWO, labels=[1, 2, 3])
        with pytest.raises(InvalidRequestError, match="no argument 'lables'"):
            send(TWO, lables=[1, 2])
    assert store.batches == []


@pytest.mark.parametrize(
    "plan",
    [{"max_items": 0}, {"max_items": 10_001}, {"max_age": -1}, {"max_waiting": 3}, {"idempotency_key": "k"}],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused_by_name(connect, store, plan):
    with pytest.raises(InvalidRequestError) as caught:
        connect(store).feedback.buffer(**plan)
    assert caught.value.param in plan


def test_a_closed_buffer_takes_nothing_more(connect, store):
    with buffer(connect, store) as send:
        pass
    with pytest.raises(LMaaSError, match="closed"):
        send("pred-1", labels=1)


def test_the_buffer_s_source_speaks_where_the_call_names_none(connect, store):
    with buffer(connect, store, source="app") as send:
        send("pred-1", labels=1)
        send("pred-1", labels=2, source="ann")
    assert [item["source"] for item in store.batches[0]] == ["app", "ann"]


def test_no_thread_is_left_once_there_is_nothing_to_send(connect, store):
    with buffer(connect, store) as send:
        send("pred-1", labels=1)
        send.flush()
        worker = next((t for t in threading.enumerate() if t.name == "lmaas-feedback"), None)
        if worker is not None:
            worker.join(10)
        assert not any(t.name == "lmaas-feedback" for t in threading.enumerate())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_sends_nothing_that_its_parent_was_told(connect, store):
    with buffer(connect, store) as send:
        send("pred-1", labels=1)
        child = os.fork()
        if not child:  # no test runner here: say in the exit code what happened
            try:
                send("pred-1", labels=2)
            except LMaaSError as error:
                send.close()
                os._exit(0 if "belongs to process" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.values == [1]


PROGRAM = """
import json, httpx, lmaas
def handler(request):
    print("got", [item["value"] for item in json.loads(request.content)["items"]], flush=True)
    return httpx.Response(403, json={"error": {"message": "go away"}})
client = lmaas.LMaaS(base_url="http://test", http_client=httpx.Client(transport=httpx.MockTransport(handler)))
send = client.feedback.buffer(max_age=0.2)
send("pred-1", labels=7)
"""


def test_a_program_that_ends_without_closing_sends_first_and_says_what_was_lost():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "got [7]\n"
    assert "1 item of feedback could not be stored" in done.stderr
    assert "go away" in done.stderr


async def said(aconnect, store, *values, **plan):
    """Say the values to an async buffer."""
    async with aconnect(store).feedback.buffer(**{"max_age": LATE, **plan}) as send:
        for value in values:
            await send("pred-1", labels=value)
    return send


def test_the_async_buffer_sends_in_batches_by_the_end_of_the_block(aconnect, store):
    asyncio.run(said(aconnect, store, *range(10), max_items=4))
    assert store.values == list(range(10))
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


def test_the_async_buffer_waits_where_it_is_full(aconnect, store):
    asyncio.run(said(aconnect, store, *range(10), max_items=1, max_waiting=2))
    assert store.values == list(range(10))


def test_the_async_buffer_names_what_was_refused(aconnect):
    store = Store(wrong={3})
    with pytest.raises(FeedbackBufferError) as caught:
        asyncio.run(said(aconnect, store, 1, 3, 5))
    assert [error.item.value for error in caught.value.errors] == [3]


def test_the_async_buffer_flushes_and_sends_what_is_of_age(aconnect, store):
    async def talk():
        async with aconnect(store).feedback.buffer(max_age=0.01) as send:
            await send("pred-1", labels=1)
            assert await asyncio.to_thread(store.arrived.acquire, timeout=10)
            await send("pred-1", labels=2)
            await send.flush()
            assert store.values == [1, 2]

    asyncio.run(asyncio.wait_for(talk(), 10))


def test_the_async_buffer_tells_a_callback(aconnect):
    told = []
    send = asyncio.run(said(aconnect, Store(wrong={1}), 1, 2, on_error=told.append))
    assert [error.item.value for error in told] == [1]
    assert list(send.errors) == told


def test_an_async_buffer_whose_loop_ended_before_it_was_flushed_warns(aconnect, store):
    async def forget():
        send = aconnect(store).feedback.buffer(max_age=LATE)
        await send("pred-1", labels=1)

    with pytest.warns(ResourceWarning, match="1 waiting"):
        asyncio.run(forget()) or gc.collect()


def test_a_buffer_has_no_raw_response(connect, store):
    with pytest.raises(TypeError, match="no raw response"):
        _ = connect(store).feedback.with_raw_response.buffer
