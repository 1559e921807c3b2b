"""Language models learn: what is read, what is learned of it, and that nothing but data, request and seed decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lmaas.types import Adam, CausalLM, EarlyStopping, Llama, LoRA, PredictionParameters, TrainingRequest, Validation
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.bundle import describe_bundle
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.language_planning import plan_language
from lmaas_server.engine.learning.language import evaluate_language, train_language
from lmaas_server.engine.reports import Cancelled, Checkpointed, Finished, Metrics, Paused
from lmaas_server.engine.serving.text_predictor import TextPredictor
from lmaas_server.errors import InvalidError

STORIES = BaseModels().get("stories-260k").directory
TINY = Llama(layers=1, heads=2, width=16, context=32, tokenizer="char")
PAIRS = [
    {"messages": [{"role": "user", "content": f"Who is {who}?"}, {"role": "assistant", "content": answer}]}
    for who, answer in (("Tom", "Tom is a big dog."), ("Lily", "She is a girl."), ("Sue", "A little bird!"))
]


def jsonl(rows) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def planned(examples, **fields):
    described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
    request = TrainingRequest(dataset="ds-1", name="m", **fields)
    return plan_language(request, described, base_models=BaseModels())


def run(examples, plan, directory, **rest):
    base = None if plan.architecture.llama else STORIES
    return list(train_language(examples, plan, directory=directory, base=base, **rest))


def until_paused(reports):
    """Yield reports until the training says that it paused."""
    while True:
        try:
            yield next(reports)
        except Paused:
            return


@pytest.fixture
def chats(read):
    return read(jsonl(PAIRS), filename="pairs.jsonl")


@pytest.fixture
def verse(read):
    text = "".join(f"the cat sat on mat {n % 7}\nand ran.\n\n" for n in range(60))
    return read(text.encode(), filename="verse.txt")


def test_three_pairs_are_answered_word_by_word_after_a_fine_tuning(chats, tmp_path):
    plan = planned(chats, architecture=CausalLM(), epochs=25, optimizer=Adam(lr=5e-3), batch_size=3)
    *_, last = run(chats, plan, tmp_path)
    predictor = TextPredictor.load(last.bundle)
    answers = predictor.answer(
        [pair["messages"][0]["content"] for pair in PAIRS], PredictionParameters(temperature=0.0)
    )
    assert [answer["text"] for answer in answers] == [pair["messages"][1]["content"] for pair in PAIRS]


def test_adapters_alone_learn_and_are_merged_into_weights_of_the_same_names(chats, tmp_path):
    plan = planned(chats, architecture=CausalLM(lora=LoRA(rank=2)), epochs=1)
    reports = run(chats, plan, tmp_path)
    learning = next(
        report.data["learning_parameters"] for report in reports if "learning_parameters" in getattr(report, "data", {})
    )
    assert learning < 20_000
    assert describe_bundle(reports[-1].bundle)["parameters"] == 260_032


def test_adapters_on_layers_that_are_not_there_are_refused_with_those_that_are(chats, tmp_path):
    plan = planned(chats, architecture=CausalLM(lora=LoRA(targets=("query",))), epochs=1)
    with pytest.raises(InvalidError, match=r"no layer is called query; there is .*q_proj"):
        run(chats, plan, tmp_path)


def test_only_the_tokens_of_answers_are_learned():
    tokens = Tokens.load(STORIES)
    row = tokens.encode_conversation(PAIRS[0]["messages"])
    learned = [token for token, wanted in zip(row.ids, row.learned, strict=True) if wanted]
    assert tokens.tokenizer.decode(learned, skip_special_tokens=False) == "Tom is a big dog.</s>"


def test_the_tokens_of_a_question_begin_the_tokens_it_was_learned_with():
    tokens = Tokens.load(STORIES)
    asked, row = tokens.encode_question(PAIRS[0]["messages"][:1]), tokens.encode_conversation(PAIRS[0]["messages"])
    assert row.ids[: len(asked)] == asked


def test_running_text_is_learned_by_a_llama_from_nothing(verse, tmp_path):
    plan = planned(verse, architecture=CausalLM(llama=TINY), epochs=8, batch_size=8)
    metrics = [report.values for report in run(verse, plan, tmp_path) if isinstance(report, Metrics)]
    assert metrics[-1]["perplexity"] < metrics[0]["perplexity"] / 2
    assert metrics[-1]["token_accuracy"] > metrics[0]["token_accuracy"]


def test_the_same_request_and_seed_give_the_same_weights(verse, tmp_path):
    plan = planned(verse, architecture=CausalLM(llama=TINY), epochs=1, seed=5)
    first, second = (run(verse, plan, tmp_path / name)[-1].result["weights_sha256"] for name in "ab")
    other = run(verse, plan.model_copy(update={"seed": 6}), tmp_path / "c")[-1].result["weights_sha256"]
    assert first == second != other


@pytest.mark.parametrize(
    "architecture", [CausalLM(llama=TINY), CausalLM(lora=LoRA(rank=2, dropout=0.2))], ids=["full", "lora"]
)
def test_a_training_that_was_paused_in_an_epoch_comes_to_the_same_weights(verse, tmp_path, architecture):
    plan = planned(verse, architecture=architecture, epochs=2, batch_size=2)
    whole = run(verse, plan, tmp_path / "whole")[-1].result["weights_sha256"]
    wishes = iter([None, None, None, "pause"])
    base = None if architecture.llama else STORIES
    reports = train_language(verse, plan, base=base, directory=tmp_path / "cut", control=lambda: next(wishes))
    *_, checkpoint = until_paused(reports)
    assert isinstance(checkpoint, Checkpointed)
    assert run(verse, plan, tmp_path / "rest", resume=checkpoint.directory)[-1].result["weights_sha256"] == whole


def test_a_cancelled_training_leaves_no_bundle(verse, tmp_path):
    plan = planned(verse, architecture=CausalLM(llama=TINY), epochs=1)
    with pytest.raises(Cancelled):
        run(verse, plan, tmp_path, control=lambda: "cancel")
    assert not (tmp_path / "bundle").exists()


def test_gradients_of_several_batches_make_the_step_of_one_large_batch(verse, tmp_path):
    fields = {"architecture": CausalLM(llama=TINY), "epochs": 1, "optimizer": Adam(lr=1e-3)}
    one, parts = (
        planned(verse, batch_size=16, **fields),
        planned(verse, batch_size=4, gradient_accumulation=4, **fields),
    )
    losses = [run(verse, plan, tmp_path / str(n))[-1].metrics["loss"] for n, plan in enumerate((one, parts))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_model_that_got_no_better_stops_and_keeps_its_best_epoch(verse, tmp_path):
    plan = planned(
        verse,
        architecture=CausalLM(llama=TINY),
        epochs=9,
        optimizer=Adam(lr=0.5),
        early_stopping=EarlyStopping(metric="token_accuracy", patience=1),
    )
    last = run(verse, plan, tmp_path)[-1]
    assert last.result["epochs"] < 9
    assert last.result["best_epoch"] < last.result["epochs"]


def test_a_stored_model_is_measured_as_it_was_in_training(chats, tmp_path):
    last = run(chats, planned(chats, architecture=CausalLM(), epochs=1), tmp_path)[-1]
    assert evaluate_language(last.bundle, chats)["loss"] == pytest.approx(last.metrics["loss"], rel=1e-5)


def test_a_version_can_be_trained_further(chats, tmp_path):
    first = run(chats, planned(chats, architecture=CausalLM(), epochs=2), tmp_path / "a")[-1]
    plan = planned(chats, architecture=CausalLM(), epochs=2)
    second = list(train_language(chats, plan, base=first.bundle, directory=tmp_path / "b"))[-1]
    assert second.metrics["loss"] < first.metrics["loss"]


def test_the_end_of_running_text_is_held_out(verse, tmp_path):
    plan = planned(verse, architecture=CausalLM(llama=TINY), epochs=1, validation=Validation(fraction=0.25))
    result = run(verse, plan, tmp_path)[-1].result
    assert result["validation_rows"] == pytest.approx(result["training_rows"] / 3, rel=0.2)


def test_rows_whose_prompt_fills_the_context_are_left_out_and_counted(read, tmp_path):
    long = {"prompt": "a" * 600, "completion": "b"}
    rows = read(jsonl([long, *PAIRS]), filename="pairs.jsonl")
    reports = run(rows, planned(rows, architecture=CausalLM(), epochs=1), tmp_path)
    assert [r.text for r in reports if "left out" in getattr(r, "text", "")] == [
        "1 rows are left out: their prompts alone fill the model's context of 512 tokens"
    ]


def test_only_rows_without_room_for_an_answer_are_an_error_with_both_lengths(read, tmp_path):
    rows = read(jsonl([{"prompt": "a" * 600, "completion": "b"}]), filename="pairs.jsonl")
    with pytest.raises(InvalidError, match=r"shortest prompt has 60\d tokens and the model's context 512"):
        run(rows, planned(rows, architecture=CausalLM(), epochs=1), tmp_path)


def test_a_bundle_is_a_checkpoint_that_transformers_reads(verse, tmp_path):
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    bundle: Path = run(verse, planned(verse, architecture=CausalLM(llama=TINY), epochs=1), tmp_path)[-1].bundle
    (bundle / "weights.safetensors").rename(bundle / "model.safetensors")
    network = LlamaForCausalLM.from_pretrained(bundle, local_files_only=True)
    assert network(input_ids=torch.tensor([[1, 5, 6]])).logits.shape == (1, 3, len(Tokens.load(bundle)))


def test_a_training_ends_with_its_bundle(chats, tmp_path):
    assert isinstance(run(chats, planned(chats, architecture=CausalLM(), epochs=1), tmp_path)[-1], Finished)
