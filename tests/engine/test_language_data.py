"""What a language model is taught with is checked whole, and a base model before any of it is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.types import MLP, CausalLM, Huber, Llama, TrainingRequest
from lmaas_server.engine.base_models import SHIPPED, BaseModels
from lmaas_server.engine.data import plain_text
from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.messages import question_of
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.language_planning import plan_language
from lmaas_server.errors import InvalidError, MissingError, ServiceError

PAIR = {"prompt": "Hello", "completion": "you"}
USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    ("row", "code", "place"),
    [
        ({"messages": [USER]}, "answer_missing", "line 2"),
        ({"messages": [USER, ASSISTANT, USER]}, "answer_missing", "line 2"),
        ({"messages": []}, "row_invalid", "line 2"),
        ({"messages": [USER, {"role": "robot", "content": "x"}]}, "row_invalid", "line 2: messages[1]"),
        ({"messages": [{"role": "user", "content": " "}, ASSISTANT]}, "text_empty", "line 2: messages[0].content"),
        ({"prompt": "", "completion": "x"}, "text_empty", "line 2: prompt"),
        ({"prompt": "x"}, "row_invalid", "line 2"),
        ([1], "row_invalid", "line 2"),
    ],
)
def test_a_bad_row_refuses_the_file_and_is_named(read, row, code, place):
    data = "\n".join(map(json.dumps, [PAIR, row])).encode()
    with pytest.raises(InvalidError) as caught:
        read(data, filename="rows.jsonl", input={"kind": "messages"})
    assert (caught.value.code, caught.value.param) == (code, place)


def test_a_line_that_is_no_json_is_named(read):
    with pytest.raises(InvalidError, match="line 2 is no JSON"):
        read(json.dumps(PAIR).encode() + b"\n{", filename="rows.jsonl", input={"kind": "messages"})


def test_conversations_are_told_from_other_jsonl_by_their_first_line(read):
    examples = read(json.dumps({"messages": [USER, ASSISTANT]}).encode(), filename="rows.jsonl")
    assert (examples.input, examples.target) == ({"kind": "messages", "form": "chat"}, {"kind": "text"})


@given(st.text(alphabet="ab \n\t", min_size=1).filter(str.strip))
def test_paragraphs_join_to_the_text_they_are_of(tmp_path_factory, text):
    path: Path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    examples = plain_text.read(path, "a.txt", ReadLimits(max_unpacked_bytes=1 << 20))
    assert plain_text.joined(examples.inputs) == text


@pytest.mark.parametrize(
    ("data", "code"),
    [(b" \n", "text_empty"), (b"ab\xff", "encoding_unknown"), (b"a\0b", "text_invalid"), (b"", "dataset_empty")],
)
def test_a_file_that_is_no_text_is_refused(read, data, code):
    with pytest.raises(InvalidError) as caught:
        read(data, filename="a.txt")
    assert caught.value.code == code


def test_a_string_is_a_message_to_a_model_of_conversations_and_a_text_to_any_other():
    assert question_of("Hi", "inputs[0]", form="chat").messages == (USER,)
    assert question_of("Hi", "inputs[0]", form="completion").text == "Hi"
    assert question_of({"prompt": "Hi"}, "inputs[0]", form="chat").text == "Hi"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["messages", "prompt", "role"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_is_asked_is_a_question_or_an_error_that_names_its_place(value):
    assert place_of(value).startswith("inputs[3]")


def place_of(value) -> str:
    """Where the error about a question is said to be; of a good one, where it is."""
    try:
        question_of(value, "inputs[3]", form="chat")
    except ServiceError as exc:
        return exc.param or ""
    return "inputs[3]"


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_a_fitted_tokenizer_gives_back_the_text_it_was_given(kind):
    text = "To be, or not\n\n  to bé ☃!"
    tokens = Tokens.fit(kind, [text], vocabulary=300)
    ids = tokens.encode(text)
    assert "".join(map(tokens.stream(ids[:1]).push, ids[1:])) == text


def test_a_character_of_several_tokens_comes_with_its_last():
    tokens = Tokens.load(SHIPPED / "stories-260k")
    ids = tokens.encode("a ☃")
    assert list(map(tokens.stream(ids[:2]).push, ids[2:])) == [" ", "", "", "☃"]


@pytest.fixture
def others(tmp_path):
    """A directory of base models with one that is whole."""
    shutil.copytree(SHIPPED / "stories-260k", tmp_path / "mine")
    return tmp_path


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_directory_of_others_comes_beside_the_model_that_is_shipped(others):
    models = BaseModels([others])
    assert models.names() == ["mine", "stories-260k"]
    assert (models.get("mine").parameters, models.get("mine").context) == (260_032, 512)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda d: (d / "pytorch_model.bin").write_bytes(b"x"), "pytorch_model.bin is pickled"),
        (lambda d: (d / "model.safetensors").rename(d / "model.pt"), "model.pt is pickled"),
        (lambda d: (d / "modeling_x.py").write_text(""), "modeling_x.py is code of its own"),
        (lambda d: change(d / "config.json", auto_map={"AutoModel": "x.Y"}), "asks for remote code"),
        (lambda d: change(d / "tokenizer_config.json", auto_map={"AutoTokenizer": "x"}), "asks for remote code"),
        (lambda d: (d / "model.safetensors").unlink(), "no weights"),
        (lambda d: (d / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda d: (d / "model.safetensors").write_bytes(b"12345678not"), "no safetensors file"),
        (lambda d: (d / "config.json").write_text("{"), "no JSON"),
    ],
)
def test_a_checkpoint_that_could_run_code_or_is_not_whole_is_refused_and_says_why(others, spoil, why):
    spoil(others / "mine")
    with pytest.raises(InvalidError, match=why) as caught:
        BaseModels([others]).get("mine")
    assert caught.value.code == "base_model_refused"


def test_an_unknown_base_model_is_missing_and_those_there_are_are_named():
    with pytest.raises(MissingError, match="there is stories-260k"):
        BaseModels().get("gpt-9")


CHATS = {"input": {"kind": "messages", "form": "chat"}, "target": {"kind": "text"}, "rows": 10}


def plan(data=CHATS, **fields):
    limit = fields.pop("limit", None)
    request = TrainingRequest(dataset="ds-1", name="m", **fields)
    return plan_language(request, data, base_models=BaseModels(), memory_limit_bytes=limit)


def test_a_plan_names_its_base_model_and_goes_through_few_rows_often():
    made = plan()
    assert isinstance(made.architecture, CausalLM)
    assert (made.architecture.base_model, made.epochs, made.gradient_accumulation) == ("stories-260k", 30, 1)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"architecture": MLP()}, "architecture"),
        ({"task": "regression"}, "task"),
        ({"loss": Huber()}, "loss"),
        ({"architecture": CausalLM(base_model="stories-260k", llama=Llama())}, "architecture.llama"),
        ({"architecture": CausalLM(base_model="gpt-9")}, "architecture.base_model"),
        ({"architecture": CausalLM(llama=Llama(heads=3))}, "architecture.llama.width"),
        ({"architecture": CausalLM(llama=Llama(kv_heads=3))}, "architecture.llama.kv_heads"),
        ({"architecture": CausalLM(llama=Llama(width=2**20)), "limit": 2**32}, "architecture"),
    ],
)
def test_what_does_not_fit_a_language_model_is_refused_with_its_place(fields, param):
    with pytest.raises(ServiceError) as caught:
        plan(**fields)
    assert caught.value.param == param


def test_rows_of_language_stay_in_their_file_and_are_taken_as_those_of_an_array(read):
    rows = [{"prompt": f"{number} is", "completion": "much"} for number in range(5)]
    inputs = read("\n\n".join(map(json.dumps, rows)).encode(), filename="p.jsonl").inputs
    assert [*inputs] == rows
    assert inputs[3] == rows[3] == inputs[np.int64(3)]
    assert [*inputs[np.array([4, 0])]] == [rows[4], rows[0]]
    assert [*inputs[1:3]] == rows[1:3]


@given(st.text(alphabet="ab \n\r\té€", min_size=1, max_size=60), st.integers(min_value=5, max_value=20))
def test_a_text_is_the_sum_of_its_rows_however_it_is_cut(tmp_path_factory, text, most):
    path = tmp_path_factory.mktemp("texts") / "a.txt"
    path.write_bytes(f"{text}.".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_text, "MOST_BYTES", most)
        inputs = plain_text.read(path, "a.txt", ReadLimits(max_unpacked_bytes=1 << 20)).inputs
    assert plain_text.joined(inputs) == f"{text}.".replace("\r\n", "\n")
    assert max(len(row.encode()) for row in inputs) <= most
