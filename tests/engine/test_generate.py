"""Texts are written together: as transformers writes them, as if each were alone, and without waiting for the slow."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas.types import PredictionParameters
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.serving.decoding import LlamaDecoder, TransformersDecoder, decoder_of
from lmaas_server.engine.serving.generate import Generator
from lmaas_server.engine.serving.memory import Layout, Memory
from lmaas_server.engine.serving.sampling import Sampling, choose
from lmaas_server.engine.serving.writing import Writing
from lmaas_server.errors import InvalidError

STORIES = BaseModels().get("stories-260k").directory
PROMPTS = ["Once upon a time", "Lily and Tom", "The", "There was a little bird who", "Ben"]
DEADLINE = 30.0


@pytest.fixture(scope="module")
def network():
    return causal_lm.load(STORIES).eval()


@pytest.fixture(scope="module")
def tokens():
    return Tokens.load(STORIES)


@pytest.fixture(scope="module", params=[LlamaDecoder, TransformersDecoder])
def generator(request, network, tokens):
    made = Generator(request.param(network), tokens, context=512)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fast(network, tokens):
    made = Generator(decoder_of(network), tokens, context=512)
    yield made
    made.stop()


def ask(generator, tokens, text="Once upon a time", *, bound=None, **wishes) -> Writing:
    sampling = Sampling(**{"max_tokens": 40, "temperature": 0.0, **wishes})
    return generator.begin(tokens.encode(text), sampling, bound=bound)


@torch.inference_mode()
def by_transformers(network, tokens, text, count=40):
    ids = torch.tensor([tokens.encode(text)])
    found = network.generate(ids, max_new_tokens=count, do_sample=False, pad_token_id=0)
    return [token for token in found[0, ids.shape[1] :].tolist() if token not in tokens.ends]


def test_greedy_texts_are_those_of_transformers_alone_and_together(generator, network, tokens):
    wanted = [by_transformers(network, tokens, prompt) for prompt in PROMPTS]
    alone = []
    for prompt in PROMPTS:
        writing = ask(generator, tokens, prompt)
        writing.wait()
        alone.append(writing.tokens)
    together = [ask(generator, tokens, prompt) for prompt in PROMPTS]
    assert [writing.wait() and writing.tokens for writing in together] == wanted == alone


@pytest.mark.parametrize("cut", [{}, {"top_p": 0.9}, {"top_k": 20}], ids=str)
def test_a_seeded_text_is_the_same_whatever_is_written_beside_it(fast, tokens, cut):
    wishes = {"temperature": 0.8, **cut}
    alone = [ask(fast, tokens, prompt, seed=n, **wishes).wait() for n, prompt in enumerate(PROMPTS)]
    together = [ask(fast, tokens, prompt, seed=n, **wishes) for n, prompt in enumerate(PROMPTS)]
    assert [writing.wait() for writing in together] == alone


def test_texts_of_different_seeds_differ(fast, tokens):
    first, second = (ask(fast, tokens, temperature=1.0, seed=seed).wait() for seed in (1, 2))
    assert first != second


def test_pieces_join_to_the_text(fast, tokens):
    writing = ask(fast, tokens, bound=4)
    assert "".join(writing) == writing.text == ask(fast, tokens).wait()


def test_bytes_that_are_no_text_do_not_end_it_nor_its_neighbours(fast, tokens):
    warm = [ask(fast, tokens, temperature=10.0, seed=seed, bound=200, max_tokens=60) for seed in range(8)]
    calm = ask(fast, tokens)
    assert all("".join(writing) == writing.text and writing.finish_reason for writing in warm)
    assert calm.wait() == ask(fast, tokens).wait()


def test_a_text_ends_before_its_stop_string_even_in_the_middle_of_a_token(fast, tokens):
    whole = ask(fast, tokens).wait()
    writing = ask(fast, tokens, stop=("nothing", "irl nam"))
    assert (writing.wait(), writing.finish_reason) == (whole[: whole.index("irl nam")], "stop")


def test_no_piece_holds_the_beginning_of_a_stop_string_that_comes(fast, tokens):
    pieces = list(ask(fast, tokens, bound=64, stop=("little girl",)))
    assert "".join(pieces).endswith("there was a ")


def test_a_text_ends_at_its_greatest_length_or_where_the_context_is_full(fast, tokens):
    short = ask(fast, tokens, max_tokens=3)
    short.wait()
    assert (len(short.tokens), short.finish_reason) == (3, "length")


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(fast, tokens):
    with pytest.raises(InvalidError, match=r"has 1,0\d\d tokens and the model's context is 512") as caught:
        ask(fast, tokens, "x" * 1000)
    assert caught.value.code == "prompt_too_long"


def test_a_reader_who_does_not_read_holds_up_nobody_and_loses_nothing(fast, tokens):
    slow = ask(fast, tokens, bound=2)
    assert ask(fast, tokens, "Lily and Tom").wait()
    assert not slow.ended
    assert "".join(slow) == ask(fast, tokens).wait()


def test_the_work_on_a_closed_text_stops(fast, tokens):
    writing = ask(fast, tokens, max_tokens=400, bound=2)
    writing.read(DEADLINE)
    writing.close()
    writing.wait()
    assert writing.finish_reason == "cancelled"
    assert len(writing.tokens) < 100


def test_a_request_joins_while_others_are_under_way(fast, tokens):
    before = fast.steps
    long = ask(fast, tokens, max_tokens=200, stop=("\0",))
    joined = threading.Event()

    def late():
        ask(fast, tokens, "Ben", max_tokens=50).wait()
        joined.set()

    threading.Thread(target=late, daemon=True).start()
    long.wait()
    assert joined.wait(DEADLINE)
    assert fast.steps - before < len(long.tokens) + 50


def test_log_probabilities_are_those_of_the_network(fast, network, tokens):
    writing = ask(fast, tokens, max_tokens=5, logprobs=3)
    writing.wait()
    ids = tokens.encode("Once upon a time")
    with torch.inference_mode():
        logs = network(torch.tensor([ids + writing.tokens])).logits[0].log_softmax(dim=-1)
    for place, (token, chance) in enumerate(zip(writing.tokens, writing.chances, strict=True), start=len(ids) - 1):
        assert chance.logprob == pytest.approx(float(logs[place, token]), abs=1e-4)
        assert [token for token, _ in chance.top] == logs[place].topk(3).indices.tolist()


def test_an_error_of_the_network_reaches_who_waits_and_the_next_text_is_written(network, tokens):
    class Broken(LlamaDecoder):
        fails = True

        def read(self, memory, tokens):
            if self.fails:
                raise ArithmeticError("no")
            return super().read(memory, tokens)

    decoder = Broken(network)
    generator = Generator(decoder, tokens, context=512)
    with pytest.raises(ArithmeticError):
        ask(generator, tokens).wait()
    decoder.fails = False
    assert ask(generator, tokens).wait()
    generator.stop()


def test_a_row_of_memory_is_the_same_after_others_joined_and_left():
    layout = Layout(layers=2, heads=1, width=3, device=torch.device("cpu"))
    rows = [Memory(layout, 1, length) for length in (4, 9, 2)]
    for row in rows:
        row.tensor.normal_()
        row.used = row.tensor.shape[3]
    memory = rows[0]
    wanted = [row.tensor.clone() for row in rows]
    for row in rows[1:]:
        memory.join(row)
    memory.keep([2, 0])
    assert memory.lengths == [2, 4]
    assert [torch.equal(memory.taken(place).tensor, wanted[row]) for place, row in enumerate((2, 0))] == [True, True]


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
)
def test_only_tokens_among_the_likeliest_are_drawn(scores, top_k, top_p, seed):
    from random import Random

    wish = Sampling(max_tokens=1, temperature=1.0, top_k=top_k, top_p=top_p)
    (token,) = choose(torch.tensor([scores]), [(wish, Random(seed))])
    likelier = sorted((score for score in scores if score > scores[token]), reverse=True)
    assert top_k is None or len(likelier) < top_k
    kept = sorted(scores, reverse=True)[: top_k or len(scores)]
    whole = math.fsum(math.exp(score) for score in kept)
    assert top_p is None or math.fsum(math.exp(score) for score in likelier) / whole < top_p + 1e-5


def test_tokens_are_drawn_as_often_as_they_are_likely():
    from random import Random

    scores = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(4000, 3)
    wishes = [(Sampling(max_tokens=1), Random(n)) for n in range(4000)]
    drawn = torch.tensor(choose(scores, wishes))
    assert (drawn.bincount() / 4000).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_other_families_are_written_by_transformers_as_it_writes_them(tokens):
    config = {
        "model_type": "gpt2", "vocab_size": 512, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    network = causal_lm.build(config).eval()
    generator = Generator(decoder_of(network), tokens, context=64)
    writings = [ask(generator, tokens, prompt, max_tokens=12) for prompt in PROMPTS]
    wanted = [by_transformers(network, tokens, prompt, 12) for prompt in PROMPTS]
    assert [writing.wait() is not None and writing.tokens for writing in writings] == wanted
    generator.stop()


def test_every_row_is_answered_or_told_what_is_wrong_with_it(tmp_path):
    from lmaas_server.engine.language_bundle import LanguageBundle, save_language_bundle
    from lmaas_server.engine.serving.text_predictor import TextPredictor

    network, tokens = causal_lm.load(STORIES), Tokens.load(STORIES)
    bundle = LanguageBundle(
        architecture={"type": "causal_lm"},
        input={"kind": "text"},
        config=network.config.to_dict(),
        tokens=tokens,
        weights=causal_lm.state_of(network),
    )
    save_language_bundle(bundle, tmp_path / "bundle")
    rows = ["Once", "", 7, {"messages": []}, "x" * 2000, {"messages": [{"role": "user", "content": "Hi"}]}]
    answers = TextPredictor.load(tmp_path / "bundle").answer(rows, PredictionParameters(max_tokens=2, temperature=0.0))
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, "text_empty", "input_invalid", "row_invalid", "prompt_too_long", None]
