"""The life of a language model over a real socket: taught, deployed, asked, streamed, stopped."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import uuid
from random import Random

import httpx
import pytest

from lmaas import LMaaS, NotFoundError, UnprocessableEntityError
from lmaas.testing import MockServer
from lmaas.types import CausalLM, Llama, VariantSpec
from lmaas_server.engine.base_models import SHIPPED

WHO = [("Tom", "Tom is a big dog."), ("Lily", "She is a girl.")]
PAIRS = [
    {"messages": [{"role": "user", "content": f"Who is {who}?"}, {"role": "assistant", "content": answer}]}
    for who, answer in WHO
]
DEADLINE = 30.0


@pytest.fixture(scope="module")
def bot(lmaas_server):
    """A deployment that knows two answers by heart."""
    name = f"bot-{uuid.uuid4().hex[:8]}"
    with LMaaS(base_url=lmaas_server.url) as client:
        job = client.jobs.wait(client.train(PAIRS, name=name, base_model="stories-260k", epochs=20, batch_size=2))
        client.deploy(job.model, name=name)
    return name


def test_a_fine_tuned_model_answers_what_it_was_taught(client, bot):
    prediction = client.predict(bot, [f"Who is {who}?" for who, _ in WHO], temperature=0)
    assert prediction.texts == [answer for _, answer in WHO]
    assert [output.finish_reason for output in prediction.outputs] == ["stop", "stop"]


def test_its_record_tells_how_it_was_made_and_how_good_it_is(lmaas_client, bot):
    model = lmaas_client.models.retrieve(bot)
    assert (model.task, model.architecture["base_model"], model.parameters) == ("generation", "stories-260k", 260_032)
    assert model.metrics["token_accuracy"] == 1.0


def test_a_stream_gives_pieces_and_then_the_prediction(lmaas_client, bot):
    with lmaas_client.stream(bot, [{"role": "user", "content": "Who is Tom?"}], temperature=0) as story:
        pieces = list(story)
    assert all(pieces)
    assert "".join(pieces) == WHO[0][1] == story.prediction.texts[0]
    assert lmaas_client.predictions.retrieve(story.prediction.id).texts == story.prediction.texts


def test_a_shadow_is_compared_with_streams_too(lmaas_client, bot):
    job = lmaas_client.train(PAIRS, name=f"{bot}-other", base_model="stories-260k", epochs=1, batch_size=2)
    shadow, champion = lmaas_client.jobs.wait(job).model, lmaas_client.deployments.retrieve(bot).model
    name = f"{bot}-watched"
    lmaas_client.deploy(
        name=name, variants=[VariantSpec(model=champion), VariantSpec(model=shadow or "", role="shadow")]
    )
    for temperature in (0, 0, 1):  # what is drawn by chance is asked and not compared
        with lmaas_client.stream(name, "Who is Tom?", temperature=temperature, max_tokens=8) as story:
            assert list(story)
    end = time.monotonic() + DEADLINE
    while (seen := lmaas_client.deployments.stats(name).variants[1]).requests < 3:
        assert time.monotonic() < end
    assert (seen.model, seen.role, seen.errors) == (shadow, "shadow", 0)
    assert (seen.compared, seen.agreed) == (2, 0)


def test_the_async_client_streams_the_same(bot, lmaas_server):
    async def ask():
        async with lmaas_server.async_client() as client, client.stream(bot, "Who is Lily?", temperature=0) as story:
            return "".join([piece async for piece in story]), story.prediction.texts

    assert asyncio.run(ask()) == (WHO[1][1], [WHO[1][1]])


def endless_seed() -> int:
    """A seed that at a high temperature, where all tokens are about as likely, never draws one of the first few."""
    streams = ((seed, Random(seed)) for seed in range(200_000))
    return next(seed for seed, random in streams if all(random.random() > 0.02 for _ in range(480)))


def test_a_long_text_comes_in_pieces_however_slow_its_reader_is(lmaas_client, bot):
    with lmaas_client.stream(bot, {"prompt": "Once"}, max_tokens=480, temperature=10, seed=endless_seed()) as story:
        pieces = list(story)
    # At most 64 tokens wait for a reader, and then the writer does: a piece holds no more than those.
    assert len(pieces) > 3
    assert story.prediction.outputs[0].completion_tokens == 480


def test_who_stops_reading_stops_the_work(lmaas_client, bot):
    with lmaas_client.stream(bot, {"prompt": "Once"}, max_tokens=480, temperature=10, seed=endless_seed()) as story:
        next(iter(story))
    until = time.monotonic() + DEADLINE
    found = None
    while found is None and time.monotonic() < until:
        made = next(iter(lmaas_client.predictions.list(deployment=bot, limit=1)), None)
        found = made if made is not None and made.outputs[0].finish_reason == "cancelled" else None
    assert found is not None
    assert found.outputs[0].completion_tokens < 480


def test_a_seeded_answer_is_the_same_alone_streamed_and_beside_others(lmaas_client, bot):
    asked = {"prompt": "Once upon a time"}
    whole = lmaas_client.predict(bot, [asked, asked], seed=4, max_tokens=20)
    with lmaas_client.stream(bot, asked, seed=4, max_tokens=20) as story:
        assert "".join(story) == whole.texts[0] == lmaas_client.predict(bot, [asked], seed=4, max_tokens=20).texts[0]


def test_a_repeated_request_for_a_stream_is_answered_from_memory(bot, lmaas_server):
    def ask():
        headers = {"accept": "text/event-stream", "idempotency-key": f"key-{bot}"}
        body = {"inputs": ["Who is Tom?"], "parameters": {"seed": None, "max_tokens": 5}}
        return httpx.post(f"{lmaas_server.url}/v1/deployments/{bot}/predictions", json=body, headers=headers)

    first, second = ask(), ask()
    prediction = [line for line in first.text.splitlines() if '"object":"prediction"' in line]
    assert prediction[0] in second.text
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("row", "parameters", "code"),
    [
        ("", {}, "text_empty"),
        ("x" * 3000, {}, "prompt_too_long"),
        (5, {}, "shape_mismatch"),
        ("Hi", {"probabilities": True}, "parameter_mismatch"),
    ],
)
def test_what_cannot_be_answered_is_a_422_that_says_why(lmaas_client, bot, row, parameters, code):
    with pytest.raises(UnprocessableEntityError) as caught:
        lmaas_client.predict(bot, [row], **parameters)
    assert caught.value.code == code


def test_a_prompt_longer_than_the_context_is_told_with_both_lengths(lmaas_client, bot):
    with pytest.raises(UnprocessableEntityError, match=r"3,0\d\d tokens and the model's context is 512"):
        lmaas_client.predict(bot, ["x" * 3000])


def test_what_follows_a_question_is_explained_token_by_token(lmaas_client, bot):
    tom, lily = lmaas_client.explain(bot, ["Who is Tom?", "Who is Lily?"]).outputs
    assert (tom.label, lily.label) == ("T", "S")  # the first token of what it was taught to say
    assert "".join(tom.tokens) == tom.input
    assert len(tom.attributions) == len(tom.tokens)
    assert sum(tom.attributions) == pytest.approx(tom.output - tom.baseline_output + tom.delta, abs=1e-3)


def test_an_explanation_of_a_question_is_coloured_text(lmaas_client, bot):
    explanation = lmaas_client.explain(bot, "Who is Tom?", method="occlusion")
    assert explanation.text(colour=False).startswith("T (")
    assert "\x1b[" in explanation.text()


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ({"inputs": ""}, "text_empty", "row 0"),
        ({"inputs": "x" * 3000}, "prompt_too_long", "prompts of up to 512 are explained"),
        ({"inputs": "Who?", "target": "no such token"}, "target_unknown", "there is no token 'no such token'"),
    ],
)
def test_a_question_that_cannot_be_explained_is_a_422_that_says_why(lmaas_client, bot, asked, code, told):
    with pytest.raises(UnprocessableEntityError, match=told) as caught:
        lmaas_client.explain(bot, **asked)
    assert caught.value.code == code


def test_a_text_takes_ratings_and_no_labels(lmaas_client, bot):
    prediction = lmaas_client.predict(bot, ["Who is Tom?"], temperature=0)
    assert [item.kind for item in lmaas_client.feedback(prediction, ratings=[1])] == ["rating"]
    with pytest.raises(UnprocessableEntityError, match="writes texts, which have no label"):
        lmaas_client.feedback(prediction, labels=["dog"])


def test_a_running_text_is_learned_from_nothing_and_measured(lmaas_client, tmp_path):
    file = tmp_path / "verse.txt"
    file.write_text("the cat sat on the mat\nand ran.\n\n" * 60)
    small = CausalLM(llama=Llama(layers=1, heads=2, width=16, context=32, tokenizer="char"))
    dataset = lmaas_client.datasets.create(file)
    job = lmaas_client.jobs.wait(lmaas_client.train(dataset, name="verse", architecture=small, epochs=2))
    measured = lmaas_client.jobs.wait(lmaas_client.evaluate(job, dataset))
    assert (dataset.input.kind, dataset.format) == ("text", "txt")
    assert measured.metrics["perplexity"] == pytest.approx(job.metrics["perplexity"], rel=0.3)


def test_base_models_of_a_directory_are_listed_and_refused_ones_say_why(tmp_path):
    for name in ("mine", "pickled"):
        shutil.copytree(SHIPPED / "stories-260k", tmp_path / "models" / name)
    (tmp_path / "models" / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with MockServer(base_models=tmp_path / "models", prewarm=False) as server, server.client() as client:
        found = {base.id: base for base in client.base_models.list()}
        assert {name: base.usable for name, base in found.items()} == {
            "mine": True,
            "pickled": False,
            "stories-260k": True,
        }
        with pytest.raises(UnprocessableEntityError, match=r"pytorch_model.bin is pickled"):
            client.train(PAIRS, name="m", architecture=CausalLM(base_model="pickled"))
        with pytest.raises(NotFoundError, match="mine, pickled, stories-260k"):
            client.train(PAIRS, name="m", architecture=CausalLM(base_model="gpt-9"))
        with pytest.raises(NotFoundError, match="Pretrained: mine, pickled, stories-260k"):
            client.train(PAIRS, name="m", base_model="gpt-9")


def test_a_model_of_numbers_takes_no_parameters_of_texts(lmaas_client, digits):
    images, labels = digits
    job = lmaas_client.jobs.wait(lmaas_client.train((images[:200], labels[:200]), name="d", epochs=1))
    lmaas_client.deploy(job.model, name="plain-digits")
    rows = json.loads(json.dumps(images[:1].tolist()))
    with pytest.raises(UnprocessableEntityError) as caught:
        lmaas_client.predict("plain-digits", rows, temperature=0.5)
    assert (caught.value.code, caught.value.param) == ("parameter_mismatch", "parameters.temperature")
