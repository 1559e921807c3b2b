"""Language models learn from what people say of their texts: over a real socket, from answer to next version."""

from __future__ import annotations

import uuid

import pytest

from lmaas import InvalidRequestError, LMaaS, NotFoundError, UnprocessableEntityError
from lmaas.types import Gate


@pytest.fixture(scope="module")
def bot(lmaas_server):
    """A deployment of the shipped base model, hardly changed by a training on a text like its own."""
    name = f"writer-{uuid.uuid4().hex[:8]}"
    text = "Once upon a time, there was a little girl named Lily. She loved to play outside.\n\n" * 40
    with LMaaS(base_url=lmaas_server.url) as client:
        dataset = client.datasets.create(text.encode(), format="txt", name="story")
        slow = {"type": "sgd", "lr": 1e-6}
        job = client.train(dataset, name=name, base_model="stories-260k", epochs=1, optimizer=slow)
        client.deploy(client.jobs.wait(job).model, name=name)
    return name


def write(client, bot, count, **parameters):
    parameters = {"max_tokens": 24, "seed": 0, **parameters}
    return client.predict(bot, [{"prompt": f"One day, Tom number {n}"} for n in range(count)], **parameters)


def learned(client, bot, **wishes):
    return client.jobs.wait(client.update(bot, promote="manual", **wishes)).result


def test_what_should_have_been_written_is_written_after_an_update(lmaas_client, bot):
    asked = [{"prompt": f"{name} said:"} for name in ("Tom", "Lily", "Sue", "Ben", "Max", "Amy")] * 5
    prediction = lmaas_client.predict(bot, asked, temperature=0, max_tokens=12)
    lmaas_client.feedback(prediction, demonstrations=[" I like red apples."] * len(asked))
    job = lmaas_client.jobs.wait(lmaas_client.update(bot, gate=Gate(enabled=False)))
    assert job.result["promoted"]
    assert lmaas_client.deployments.retrieve(bot).variants[0].model == job.model
    assert lmaas_client.predict(bot, asked[:3], temperature=0).texts == [" I like red apples."] * 3
    lmaas_client.deployments.rollback(bot)


def test_an_answer_preferred_over_another_is_learned_from(lmaas_client, bot):
    worse, better = (write(lmaas_client, bot, 12, seed=seed) for seed in (1, 100))
    for index in range(12):
        lmaas_client.feedback(worse, preferred=better, indices=[index])
    result = learned(lmaas_client, bot)
    assert result["feedback_used"] + result["feedback_held_out"] == 12
    assert result["gate"]["anchor"]["lower_bound"] > -0.15
    assert lmaas_client.models.retrieve(result["candidate"]).metrics["kl"] <= 8


def test_two_texts_that_only_the_caller_has_are_a_preference_too(lmaas_client, bot):
    prediction = write(lmaas_client, bot, 3)
    pairs = [{"chosen": " He was happy.", "rejected": " He was sad."}, None, {"chosen": " Yes.", "rejected": " No."}]
    items = lmaas_client.feedback(prediction, preferred=pairs)
    assert [(item.kind, item.index, item.value) for item in items] == [
        ("preference", 0, pairs[0]),
        ("preference", 2, pairs[2]),
    ]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("", "should have written"),
        ("  ", "not all spaces"),
        (5, "should have written"),
    ],
)
def test_a_demonstration_is_a_text_with_something_in_it(lmaas_client, bot, value, wrong):
    prediction = write(lmaas_client, bot, 1)
    with pytest.raises((UnprocessableEntityError, InvalidRequestError), match=wrong):
        lmaas_client.feedback.create(prediction, kind="demonstration", value=value)


def test_a_demonstration_longer_than_the_context_is_told_with_both_lengths(lmaas_client, bot):
    prediction = write(lmaas_client, bot, 1)
    with pytest.raises(UnprocessableEntityError, match=r"has 2,\d+ tokens and its prompt \d+, .* is 512") as caught:
        lmaas_client.feedback(prediction, demonstrations="xyz " * 700)
    assert (caught.value.code, caught.value.param) == ("text_too_long", "items[0].value")


def test_a_preference_between_answers_to_different_prompts_is_refused_and_says_both(lmaas_client, bot):
    one, other = (lmaas_client.predict(bot, [{"prompt": text}], max_tokens=2) for text in ("The cat", "The dog"))
    with pytest.raises(UnprocessableEntityError, match=r"'The cat'.*'The dog'.*to one prompt") as caught:
        lmaas_client.feedback(other, preferred=one)
    assert caught.value.code == "prompts_differ"


def test_a_preference_over_what_is_not_there_is_a_404_that_names_it(lmaas_client, bot):
    prediction = write(lmaas_client, bot, 1)
    with pytest.raises(NotFoundError, match="pred-gone") as caught:
        lmaas_client.feedback("pred-gone", preferred=prediction)
    assert caught.value.param == "items[0].value.over"


def test_a_text_is_not_preferred_over_itself_but_over_another_row(lmaas_client, bot):
    prediction = lmaas_client.predict(bot, [{"prompt": "The cat"}] * 2, max_tokens=4, seed=1)
    with pytest.raises(UnprocessableEntityError, match="preferred over itself"):
        lmaas_client.feedback(prediction, preferred=prediction)
    value = {"over": prediction.id, "index": 1}
    assert lmaas_client.feedback.create(prediction, kind="preference", value=value).value == value


@pytest.mark.parametrize("value", [{}, {"over": 5}, {"chosen": "a"}, {"chosen": "a", "rejected": "a"}, "pred-1"])
def test_a_preference_names_another_answer_or_two_texts(lmaas_client, bot, value):
    prediction = write(lmaas_client, bot, 1)
    with pytest.raises(UnprocessableEntityError) as caught:
        lmaas_client.feedback.create(prediction, kind="preference", value=value)
    assert caught.value.code == "feedback_invalid"


def test_retracted_preferences_leave_nothing_to_learn(lmaas_client, bot):
    name = f"{bot}-quiet"
    lmaas_client.deploy(f"{bot}@1", name=name)
    prediction = lmaas_client.predict(name, [{"prompt": "The cat"}], max_tokens=4)
    (item,) = lmaas_client.feedback(prediction, preferred={"chosen": " sat.", "rejected": " ran."})
    lmaas_client.feedback.retract(item)
    assert lmaas_client.jobs.wait(lmaas_client.update(name)).result["reason"] == "insufficient_evidence"


def test_an_update_has_its_effective_settings_on_the_record(lmaas_client, bot):
    job = lmaas_client.jobs.wait(lmaas_client.update(bot, dry_run=True, epochs=1, kl_budget=3))
    assert (job.request["kl_budget"], job.request["beta"], job.request["gate"]["max_anchor_drop"]) == (3, 0.1, 0.15)
