"""Language models learn from feedback: what is learned, what is kept, who may be promoted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from lmaas.types import SGD, Adam, CausalLM, Gate, LoRA, PredictionParameters, TrainingRequest, UpdateRequest
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.bundle import describe_bundle
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.language_planning import plan_language
from lmaas_server.engine.learning import language_champion, language_strategies, language_update
from lmaas_server.engine.learning.language import train_language
from lmaas_server.engine.learning.language_buffers import LanguageBuffers
from lmaas_server.engine.learning.language_update import update_language
from lmaas_server.engine.learning.signals import held_out
from lmaas_server.engine.reports import Cancelled, Message
from lmaas_server.engine.serving.text_predictor import TextPredictor
from lmaas_server.errors import InvalidError

STORIES = BaseModels().get("stories-260k").directory
NAMES = ("Tom", "Lily", "Sue", "Ben", "Max", "Amy", "Sam", "Anna")
PEACE = Gate(enabled=False)


@pytest.fixture(autouse=True)
def _fewer_own_texts(monkeypatch):
    """A tenth of the texts that a server draws: enough to learn beside, in a tenth of the time."""
    monkeypatch.setattr(language_champion, "OWN_TEXTS", 12)
    monkeypatch.setattr(language_update, "OWN_TEXTS", 12)
    monkeypatch.setattr(language_strategies, "REPLAYED", 200)
    monkeypatch.setattr(language_strategies, "REMEMBERED", 100)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Train the shipped model a little on chat pairs, plainly or by adapters, once each."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Who is {who}?"},
                {"role": "assistant", "content": f"{who} is a dog."},
            ]
        }
        for who in NAMES
    ]
    known = {}

    def taught(read, lora=None):
        if lora not in known:
            examples = read("\n".join(map(json.dumps, rows)).encode(), filename="pairs.jsonl")
            request = TrainingRequest(dataset="ds-1", name="m", architecture=CausalLM(lora=lora), epochs=2)
            described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
            plan = plan_language(request, described, base_models=BaseModels())
            directory = tmp_path_factory.mktemp("taught")
            *_, last = train_language(examples, plan, base=STORIES, directory=directory)
            known[lora] = last.bundle, examples
        return known[lora]

    return taught


def item(number, kind, prompt="Who is Tom?", **said):
    return {"id": f"fb-{number}", "kind": kind, "prompt": prompt, "value": None, "created_at": number, **said}


def demonstrations(count=20):
    return [item(n, "demonstration", f"Who is {NAMES[n % 8]}?", value="A very good friend.") for n in range(count)]


def preferences(count=40):
    """Ask for happy ends: what should come of a preference is plain from its texts."""
    return [
        item(
            n,
            "preference",
            f"Who is {NAMES[n % 8]}?",
            chosen=f"{NAMES[n // 8]} is happy.",
            rejected=f"{NAMES[n // 8]} is sad.",
        )
        for n in range(count)
    ]


def learn(bundle, items, directory, **wishes):
    rest = {key: wishes.pop(key) for key in ("retracted", "control", "base") if key in wishes}
    examples = wishes.pop("examples", None)
    request = UpdateRequest(deployment="d", **wishes)
    return list(update_language(bundle, items, examples, request, directory=directory, **rest))


@pytest.fixture(scope="module")
def demonstrated(taught, tmp_path_factory):
    """The demonstrations, learned once by the defaults: the last report, with the candidate's bundle."""
    known = {}

    def demonstrated(read):
        if not known:
            *_, known["last"] = learn(taught(read)[0], demonstrations(), tmp_path_factory.mktemp("shown"), gate=PEACE)
        return known["last"]

    return demonstrated


def likelihood(bundle, asked, answer):
    tokens, network = Tokens.load(bundle), causal_lm.load(bundle).eval()
    row = tokens.encode_answer([{"role": "user", "content": asked}], answer, ended=False)
    with torch.inference_mode():
        logs = network(input_ids=torch.tensor([row.ids])).logits.log_softmax(-1)[0]
    return sum(float(logs[place, row.ids[place + 1]]) for place in range(len(row) - 1) if row.learned[place + 1])


def test_demonstrations_are_written_word_by_word_afterwards(demonstrated, read):
    answers = TextPredictor.load(demonstrated(read).bundle).answer(
        ["Who is Sue?"], PredictionParameters(temperature=0.0)
    )
    assert (answers[0]["text"], answers[0]["finish_reason"]) == ("A very good friend.", "stop")


def test_of_two_texts_the_preferred_becomes_the_likelier(taught, read, tmp_path):
    champion = taught(read)[0]
    *_, last = learn(champion, preferences(), tmp_path)
    apart = [
        likelihood(bundle, "Who is Pip?", "Pip is happy.") - likelihood(bundle, "Who is Pip?", "Pip is sad.")
        for bundle in (champion, last.bundle)
    ]
    assert apart[1] > apart[0] + 1
    assert last.result["reason"] == "promoted"
    assert last.result["gate"]["fresh"]["won"] > last.result["gate"]["fresh"]["lost"]


def test_thumbs_make_liked_texts_likelier_and_disliked_ones_less(taught, read, tmp_path):
    champion = taught(read)[0]
    items = [
        item(n, "rating", f"Who is {NAMES[n % 8]}?", value=1 if n % 2 else -1, shown="A friend." if n % 2 else "A dog.")
        for n in range(24)
    ]
    *_, last = learn(champion, items, tmp_path)
    liked, disliked = (
        likelihood(last.bundle, "Who is Max?", text) - likelihood(champion, "Who is Max?", text)
        for text in ("A friend.", "A dog.")
    )
    assert liked > 0.5 > -0.5 > disliked


def test_a_candidate_stays_within_its_budget_and_says_that_it_was_spent(taught, read, tmp_path):
    reports = learn(taught(read)[0], preferences(), tmp_path, kl_budget=0.2, optimizer=Adam(lr=1e-3))
    assert reports[-1].metrics["kl"] < 0.4
    assert any(isinstance(report, Message) and "budget of 0.2 nats" in report.text for report in reports)


def test_replay_keeps_more_of_the_champion_than_plain_fine_tuning(taught, demonstrated, read, tmp_path):
    *_, plain = learn(taught(read)[0], demonstrations(), tmp_path, strategy="finetune", gate=PEACE)
    assert demonstrated(read).metrics["anchor_change"] > plain.metrics["anchor_change"] / 2


@pytest.mark.parametrize("lora", [None, LoRA(rank=2)], ids=["full", "lora"])
def test_the_same_feedback_and_seed_give_the_same_weights(taught, read, tmp_path, lora):
    champion = taught(read, lora)[0]
    wishes = {"gate": PEACE, "epochs": 1}
    first, again, other = (
        describe_bundle(learn(champion, preferences(10), tmp_path / name, seed=seed, **wishes)[-1].bundle)[
            "weights_sha256"
        ]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_a_model_of_adapters_learns_by_adapters_and_is_stored_whole(taught, read, tmp_path):
    champion = taught(read, LoRA(rank=2))[0]
    *_, last = learn(champion, demonstrations(8), tmp_path, epochs=1, gate=PEACE)
    about = describe_bundle(last.bundle)
    assert (about["parameters"], about["architecture"]["lora"]["rank"]) == (260_032, 2)
    assert TextPredictor.load(last.bundle).answer(["Who is Sue?"], PredictionParameters(max_tokens=3))[0]["text"]


def test_what_costs_the_champion_too_much_is_interpolated_or_held(taught, read, tmp_path):
    strict = Gate(max_anchor_drop=0.0)
    *_, last = learn(
        taught(read)[0], preferences(), tmp_path, gate=strict, strategy="finetune", optimizer=Adam(lr=3e-3)
    )
    assert (last.result["promoted"], last.result["reason"]) == (False, "regression")
    assert last.result["gate"]["fresh"] is None


def test_a_candidate_that_costs_a_little_too_much_is_taken_part_of_the_way(taught, read, tmp_path):
    wishes = {"strategy": "finetune", "optimizer": Adam(lr=4e-4), "kl_budget": 100}
    whole = learn(taught(read)[0], preferences(), tmp_path / "a", gate=PEACE, **wishes)[-1]
    bound = -whole.result["gate"]["anchor"]["lower_bound"]
    part = learn(taught(read)[0], preferences(), tmp_path / "b", gate=Gate(max_anchor_drop=bound * 0.8), **wishes)[-1]
    assert part.result["gate"]["alpha"] < 1
    assert part.result["gate"]["anchor"]["lower_bound"] > -bound * 0.8


def test_preferences_by_chance_promote_nothing(taught, read, tmp_path):
    items = [
        {**said, "chosen": said["rejected"], "rejected": said["chosen"]} if number % 2 else said
        for number, said in enumerate(preferences())
    ]
    *_, last = learn(taught(read)[0], items, tmp_path)
    assert not last.result["promoted"]
    assert last.result["reason"] in {"no_improvement", "insufficient_evidence"}


def test_without_feedback_there_is_no_candidate(taught, read, tmp_path):
    *_, last = learn(taught(read)[0], [], tmp_path)
    assert (last.bundle, last.result["reason"]) == (None, "insufficient_evidence")


def test_a_fifth_is_held_out_by_its_id_and_never_remembered(taught, read, tmp_path):
    items = demonstrations(40)
    *_, last = learn(taught(read)[0], items, tmp_path, epochs=1, gate=PEACE)
    held = {said["id"] for said in items if held_out(said["id"])}
    assert last.result["feedback_held_out"] == len(held) > 0
    assert set(LanguageBuffers.read(last.bundle).reservoir_ids) == {said["id"] for said in items} - held


def test_what_was_retracted_is_neither_learned_nor_remembered(taught, read, tmp_path):
    *_, first = learn(taught(read)[0], demonstrations(), tmp_path / "a", epochs=1, gate=PEACE)
    gone = LanguageBuffers.read(first.bundle).reservoir_ids[0]
    *_, last = learn(first.bundle, demonstrations(), tmp_path / "b", epochs=1, gate=PEACE, retracted=[gone])
    assert gone not in LanguageBuffers.read(last.bundle).reservoir_ids


def test_a_retraining_begins_from_the_base_and_learns_what_stands(taught, read, tmp_path):
    champion, examples = taught(read)
    *_, first = learn(champion, preferences(8), tmp_path / "a", epochs=1, gate=PEACE)
    wishes = {"strategy": "retrain", "examples": examples, "base": STORIES, "gate": PEACE}
    *_, last = learn(first.bundle, demonstrations(), tmp_path / "b", **wishes)
    answers = TextPredictor.load(last.bundle).answer(["Who is Sue?"], PredictionParameters(temperature=0.0))
    assert answers[0]["text"] == "A very good friend."
    assert LanguageBuffers.read(last.bundle).anchor == LanguageBuffers.read(champion).anchor


def test_a_retraining_without_its_dataset_is_refused(taught, read, tmp_path):
    with pytest.raises(InvalidError, match="its dataset is gone") as caught:
        learn(taught(read)[0], demonstrations(), tmp_path, strategy="retrain")
    assert caught.value.code == "dataset_needed"


def test_a_cancelled_update_leaves_no_candidate(taught, read, tmp_path):
    with pytest.raises(Cancelled):
        learn(taught(read)[0], demonstrations(), tmp_path, control=lambda: "cancel")
    assert not (tmp_path / "bundle").exists()


def test_a_loss_that_is_no_number_any_more_is_an_error_and_no_candidate(taught, read, tmp_path):
    steep = SGD(lr=10, momentum=0.99)
    with pytest.raises(InvalidError) as caught:
        learn(taught(read)[0], demonstrations(4), tmp_path, optimizer=steep, strategy="finetune", epochs=150)
    assert caught.value.code == "diverged"


def test_buffers_come_back_as_they_were_stored(taught, read, tmp_path):
    buffers = replace(LanguageBuffers.read(taught(read)[0]), reservoir=(), reservoir_ids=())
    assert len(buffers.anchor) == len(NAMES)
    assert all(row.ids[0] == 1 and any(row.learned) for row in buffers.anchor)
    assert buffers.info() == {"anchor": 8, "holdout": 0, "reservoir": 0, "reservoir_ids": []}
