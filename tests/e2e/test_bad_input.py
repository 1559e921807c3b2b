"""What people send by mistake, over a real socket: each is told what was wrong, where, and what would be right.

Prompts longer than the context, and other prompts that cannot be answered, are in `test_language_models`.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import wave
import zipfile
from dataclasses import dataclass
from typing import Any

import pytest

from lmaas import APIStatusError, UnprocessableEntityError
from lmaas.testing import MockServer
from lmaas.types import AudioCNN, CausalLM, TextInput
from lmaas_server.engine.base_models import SHIPPED

HOURS = 3 * 3600


def wav(seconds: float, *, rate: int = 1000, says: float | None = None) -> bytes:
    """A silent WAV of 8 bits; its header may say another length than it has."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 1, rate, 0, "NONE", ""))
        file.writeframes(b"\x80" * round(rate * seconds))
    data = bytearray(stream.getvalue())
    if says is not None:
        data[40:44] = struct.pack("<I", round(rate * says))
    return bytes(data)


def clips(**more: bytes) -> bytes:
    """A zip of a folder each of two words, with files added to the first."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for word in ("no", "yes"):
            archive.writestr(f"{word}/0.wav", wav(0.2))
        for name, data in more.items():
            archive.writestr(f"no/{name}", data)
    return stream.getvalue()


def lines(*rows: Any) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@dataclass(frozen=True, kw_only=True)
class Bad:
    """An upload, and what is said of it."""

    name: str
    data: bytes
    code: str
    param: str
    told: tuple[str, ...]
    format: str = "csv"
    input: Any = None
    status: int = 422

    def __repr__(self) -> str:
        return self.name


USER = {"role": "user", "content": "Who is Tom?"}
UPLOADS = (
    Bad(
        name="a WAV that is none",
        data=clips(**{"song.wav": b"ID3 of an MP3"}),
        format="zip",
        code="audio_undecodable",
        param="file",
        told=("no/song.wav", "is not a WAV file", "RIFF....WAVE"),
    ),
    Bad(
        name="a WAV of three hours",
        data=clips(**{"long.wav": wav(HOURS)}),
        format="zip",
        code="audio_too_long",
        param="file",
        told=("no/long.wav", "3 h 0 min", "at most 1 min 0 s", "Cut it up"),
        status=413,
    ),
    Bad(
        name="a WAV whose header says three hours",
        data=clips(**{"long.wav": wav(1, says=HOURS)}),
        format="zip",
        code="audio_too_long",
        param="file",
        told=("no/long.wav", "3 h 0 min", "at most 1 min 0 s"),
        status=413,
    ),
    Bad(
        name="a WAV that is cut off",
        data=clips(**{"cut.wav": wav(1, says=2)}),
        format="zip",
        code="audio_truncated",
        param="file",
        told=("no/cut.wav", "its header says 2,000 samples and 1,000 are there", "send the whole file"),
    ),
    Bad(
        name="a ragged row",
        data=b"size,label\n1,a\n2,b,c\n3,a\n",
        code="row_ragged",
        param="file[1]",
        told=("row 1 of", "has 3 cells and there are 2 columns", "'2,b,c'", "Put quotes around cells"),
    ),
    Bad(
        name="an encoding there is none of",
        data=b"text,label\nhello,a\n",
        input=TextInput(encoding="klingon"),
        code="encoding_unknown",
        param="input.encoding",
        told=("no text encoding 'klingon'", "utf-8, utf-16, latin-1 and cp1252 are the usual ones"),
    ),
    Bad(
        name="an encoding that is not said",
        data="text,label\nhello,a\nça va,b\n".encode("cp1252"),
        code="encoding_invalid",
        param="file",
        told=("not utf-8 text", "about line 3", "save it as UTF-8, or name its encoding"),
    ),
    Bad(
        name="a column that is all missing",
        data=b"size,weight,label\n1,,a\n2,NA,b\n",
        code="column_empty",
        param="input.columns.weight",
        told=("column 'weight'", "no value in any of its 2 rows", "remove it, or set its type to ignore"),
    ),
    Bad(
        name="an empty text",
        data=b"text,label\nhello,a\n  ,b\n",
        code="text_empty",
        param="file[1].text",
        told=("the text of row 1 is empty", "column 'text'", "remove the row or fill it in"),
    ),
    Bad(
        name="messages without an answer",
        data=lines({"messages": [USER, {"role": "assistant", "content": "A dog."}]}, {"messages": [USER]}),
        format="jsonl",
        code="answer_missing",
        param="line 2",
        told=("line 2", "without an answer to learn", 'the last must have the role "assistant"'),
    ),
    Bad(
        name="an empty prompt to learn",
        data=lines({"prompt": " ", "completion": "x"}),
        format="jsonl",
        code="text_empty",
        param="line 1: prompt",
        told=("line 1: prompt is an empty text", "at least one character"),
    ),
    Bad(
        name="a text of nothing",
        data=b" \n\n",
        format="txt",
        code="text_empty",
        param="file",
        told=("is an empty text",),
    ),
)


@pytest.mark.parametrize("bad", UPLOADS, ids=repr)
def test_a_bad_file_is_told_what_is_wrong_where_and_what_would_be_right(lmaas_client, bad):
    with pytest.raises(APIStatusError) as caught:
        lmaas_client.datasets.create(bad.data, format=bad.format, **({"input": bad.input} if bad.input else {}))
    assert (caught.value.status, caught.value.code, caught.value.param) == (bad.status, bad.code, bad.param)
    for words in bad.told:
        assert words in str(caught.value)


@pytest.fixture(scope="module")
def served(lmaas_server):
    """Three small models, of sound, texts and a table."""
    people = [{"age": n % 50, "job": "ab"[n % 2], "label": ("low", "high")[n % 2]} for n in range(60)]
    mail = [{"text": ("see you", "win now")[n % 2], "label": ("ham", "spam")[n % 2]} for n in range(60)]
    ear = {"architecture": AudioCNN(channels=(4, 4), hidden=8), "epochs": 1}
    with lmaas_server.client() as client:
        data = {"sound": (clips(**{"1.wav": wav(0.3)}), ear), "mail": (mail, {}), "people": (people, {"epochs": 1})}
        for name, (rows, how) in data.items():
            job = client.jobs.wait(client.train(rows, name=f"bad-{name}", seed=0, **how))
            client.deploy(job, name=f"bad-{name}")
    return "bad"


@pytest.fixture
def answers_beside(lmaas_client, served):
    """Have a row answered beside a good one."""
    good = {"sound": wav(0.2), "mail": "see you", "people": {"age": 3, "job": "a"}}
    return lambda model, row: lmaas_client.predict(f"{served}-{model}", [row, good[model]]).outputs


@pytest.mark.parametrize(
    ("model", "bad", "code", "told"),
    [
        ("sound", b"ID3 of an MP3", "audio_undecodable", ("row 0 is not a WAV file", "RIFF....WAVE")),
        ("sound", wav(1, says=HOURS), "audio_too_long", ("row 0 plays for 3 h 0 min", "at most 1 min 0 s")),
        ("sound", wav(70), "audio_too_long", ("row 0 plays for 1 min 10 s", "at most 1 min 0 s")),
        ("mail", "", "text_empty", ("row 0 is an empty text",)),
        ("mail", " \n", "text_empty", ("row 0 is an empty text",)),
        ("people", {"age": "old"}, "cell_invalid", ("row 0", "column 'age' takes a finite number", "'old'")),
        ("people", {"years": 3}, "column_unknown", ("row 0 has a column 'years'", "it takes age, job")),
    ],
)
def test_a_bad_row_is_told_so_and_its_neighbour_is_answered(answers_beside, model, bad, code, told):
    bad, good = answers_beside(model, bad)
    assert bad.error.code == code
    assert good.label is not None
    for words in told:
        assert words in bad.error.message


def test_a_category_never_seen_in_training_is_answered(lmaas_client, served):
    answered = lmaas_client.predict(f"{served}-people", [{"age": 3, "job": "astronaut"}, {"age": 3}]).outputs
    assert [output.error for output in answered] == [None, None]
    assert all(output.label in {"low", "high"} for output in answered)


@pytest.mark.parametrize(
    "rows", [[{"text": f"a {n}", "label": "x"} for n in range(9)], [{"n": n, "label": 1} for n in range(9)]]
)
def test_a_target_with_one_class_is_refused_before_a_job_is_made(lmaas_client, rows):
    before = len(list(lmaas_client.jobs.list(type="training", limit=1000)))
    with pytest.raises(UnprocessableEntityError, match=r"one class only.*at least two") as caught:
        lmaas_client.train(rows, name="bad-one-class")
    assert (caught.value.code, caught.value.param) == ("one_class", "dataset")
    assert len(list(lmaas_client.jobs.list(type="training", limit=1000))) == before


def test_a_class_with_one_example_is_learned_beside_the_others_and_warned_of(lmaas_client):
    rows = [{"n": n, "label": "ab"[n % 2]} for n in range(40)] + [{"n": 7, "label": "alone"}]
    job = lmaas_client.jobs.wait(lmaas_client.train(rows, name="bad-alone", epochs=1, seed=0))
    (warning,) = [event for event in lmaas_client.jobs.events(job) if event.data.get("classes")]
    assert (warning.level, warning.data["classes"]) == ("warning", ["alone"])
    assert "at most one row to train on" in warning.message
    assert lmaas_client.models.retrieve(job.model).target["classes"] == ["a", "alone", "b"]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("pytorch_model.bin", b"\x80", "pytorch_model.bin is pickled, and opening it may run code.*as safetensors"),
        ("training_args.pt", b"\x80", "training_args.pt is pickled"),
        ("modeling_mine.py", b"", "modeling_mine.py is code of its own, which is never run here; remove it"),
        (
            "tokenizer_config.json",
            b'{"auto_map": {"AutoTokenizer": "mine.Mine"}}',
            r"tokenizer_config.json asks for remote code \(auto_map\), which is never run here",
        ),
    ],
)
def test_a_checkpoint_with_pickles_or_code_of_its_own_is_listed_as_unusable_and_refused(tmp_path, file, content, why):
    shutil.copytree(SHIPPED / "stories-260k", tmp_path / "mine")
    (tmp_path / "mine" / file).write_bytes(content)
    with MockServer(base_models=tmp_path, prewarm=False) as server, server.client() as client:
        assert {base.id: base.usable for base in client.base_models.list()} == {"mine": False, "stories-260k": True}
        rows = [{"prompt": "a", "completion": "b"}]
        with pytest.raises(UnprocessableEntityError, match=why) as caught:
            client.train(rows, name="m", architecture=CausalLM(base_model="mine"))
    assert (caught.value.code, caught.value.param) == ("base_model_refused", "architecture.base_model")
