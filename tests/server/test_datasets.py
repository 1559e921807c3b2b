"""Uploads: kept whole or refused whole."""

from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
import wave
import zipfile

import numpy as np
import pytest
from PIL import Image

MULTIPART = "multipart/form-data; boundary=cut"


def left(server) -> list[str]:
    """What lies in the store, temporary files too."""
    return [str(path) for path in server.artifacts.root.rglob("*") if path.is_file()]


def png(size=(4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def silence(seconds: int) -> bytes:
    """A WAV of 8 bits, a thousand samples a second."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, 1000, 0, "NONE", ""))
        file.writeframes(b"\x80" * 1000 * seconds)
    return buffer.getvalue()


def test_an_upload_is_described_by_what_it_holds(ask):
    content = ask.npz(x=np.zeros((5, 2, 3), np.float32), y=np.array(["a", "b", "a", "b", "a"]))
    made = ask.upload(content, filename="My data.npz").json
    assert (made["name"], made["format"], made["rows"], made["bytes"]) == ("My-data", "npz", 5, len(content))
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert (made["input"]["kind"], made["input"]["shape"]) == ("tensor", [2, 3])
    assert made["target"]["classes"] == ["a", "b"]


def test_a_zip_of_folders_is_a_dataset_of_images(ask):
    made = ask.upload(zipped(**{"cat__1.png": png(), "dog__1.png": png()}), filename="pets.zip").json
    assert (made["input"]["kind"], made["rows"], made["target"]["classes"]) == ("image", 2, ["cat", "dog"])


def test_input_and_target_are_json_in_the_form(ask):
    made = ask.upload(ask.npz(x=[[1.0], [2.0]], y=[0.5, 1.5]), target='{"kind": "value"}', input='{"kind": "tensor"}')
    assert made.json["target"]["kind"] == "value"


def test_a_word_in_the_form_is_a_kind_or_the_column_of_the_targets(ask):
    table = b"size,kind\n1,a\n2,b\n3,a\n"
    by_column = ask.upload(table, filename="t.csv", input="table", target="kind").json
    by_kind = ask.upload(ask.npz(x=[[1.0], [2.0]], y=[0, 1]), input="tensor", target="value").json
    assert (by_column["input"]["kind"], by_column["target"]["classes"]) == ("table", ["a", "b"])
    assert by_kind["target"]["kind"] == "value"


def test_the_content_comes_back_as_it_was(ask, http):
    content = ask.npz(x=[[1.0]], y=[0])
    made = ask.upload(content).json
    with http.get(f"/v1/datasets/{made['id']}/content") as answer:
        assert answer.data == content
        assert answer.headers["etag"] == f'"{made["sha256"]}"'


def test_a_part_of_the_content_can_be_asked_for(ask, http):
    content = ask.npz(x=[[1.0]], y=[0])
    id = ask.upload(content).json["id"]
    with http.get(f"/v1/datasets/{id}/content", headers={"Range": "bytes=10-19"}) as answer:
        assert (answer.status_code, answer.data) == (206, content[10:20])


def test_rows_are_shown_with_their_targets_in_pages(ask, http):
    id = ask.upload(ask.npz(x=[[1.0], [2.0], [3.0]], y=["a", "b", "a"])).json["id"]
    first = http.get(f"/v1/datasets/{id}/rows?limit=2").json
    assert [(row["index"], row["input"], row["target"]) for row in first["data"]] == [(0, [1.0], "a"), (1, [2.0], "b")]
    rest = http.get(f"/v1/datasets/{id}/rows?limit=2&after={first['last_id']}").json
    assert ([row["index"] for row in rest["data"]], rest["has_more"]) == ([2], False)


def test_rows_run_backwards_too(ask, http):
    id = ask.upload(ask.npz(x=[[1.0], [2.0], [3.0]], y=[0, 1, 0])).json["id"]
    page = http.get(f"/v1/datasets/{id}/rows?limit=2&order=desc").json
    assert ([row["index"] for row in page["data"]], page["has_more"]) == ([2, 1], True)


@pytest.mark.parametrize("after", ["3", "-1", "x", "9" * 30])
def test_rows_after_one_that_is_not_there_are_refused(ask, http, after):
    id = ask.upload(ask.npz(x=[[1.0], [2.0], [3.0]], y=[0, 1, 0])).json["id"]
    answer = http.get(f"/v1/datasets/{id}/rows?after={after}")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "after_not_found")


def test_a_deleted_dataset_is_gone_with_its_file(ask, http, server):
    id = ask.upload(ask.npz(x=[[1.0]], y=[0])).json["id"]
    assert http.delete(f"/v1/datasets/{id}").json == {"id": id, "object": "dataset", "deleted": True}
    assert http.get(f"/v1/datasets/{id}").status_code == 404
    assert left(server) == []


NAN = np.array([[1.0], [np.nan]])
FINE = {"x": np.ones((4, 2)), "y": np.arange(4)}


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


BAD = {
    "empty": lambda ask: (b"", "data.npz"),
    "truncated npz": lambda ask: (cut(ask.npz(**FINE)), "data.npz"),
    "truncated zip": lambda ask: (cut(zipped(**{"a__1.png": png()})), "data.zip"),
    "lengths differ": lambda ask: (ask.npz(x=np.ones((4, 2)), y=np.arange(3)), "data.npz"),
    "NaN": lambda ask: (ask.npz(x=NAN, y=np.arange(2)), "data.npz"),
    "labels of a wrong type": lambda ask: (ask.npz(x=np.ones((2, 1)), y=np.array([1j, 2j])), "data.npz"),
    "objects": lambda ask: (ask.npz(x=np.array([{}, {}], dtype=object), y=np.arange(2)), "data.npz"),
    "no picture": lambda ask: (zipped(**{"a__bad.png": b"not a picture", "b__1.png": png()}), "data.zip"),
    "escapes": lambda ask: (zipped(**{"..__..__evil.png": png(), "b__1.png": png()}), "data.zip"),
    "no such array": lambda ask: (ask.npz(z=np.ones(3)), "data.npz"),
    "text": lambda ask: (b"hello", "data.npz"),
    "unknown": lambda ask: (b"hello", "data.bin"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_not_what_it_claims_is_refused_and_leaves_nothing(ask, http, server, case):
    content, filename = BAD[case](ask)
    answer = ask.upload(content, filename=filename)
    assert answer.status_code in {413, 415, 422}, answer.json
    assert answer.json["error"]["code"]
    assert len(answer.json["error"]["message"]) > 15
    assert (http.get("/v1/datasets").json["data"], left(server)) == ([], [])


@pytest.mark.parametrize(
    ("case", "named"), [("NaN", "row 1"), ("no picture", "bad.png"), ("lengths differ", "3"), ("objects", "x")]
)
def test_the_place_of_the_fault_is_named(ask, case, named):
    content, filename = BAD[case](ask)
    assert named in ask.upload(content, filename=filename).json["error"]["message"]


class TestSmall:
    """With room for a MiB unpacked."""

    @pytest.fixture
    def settings(self, tmp_path):
        return {"data_dir": tmp_path / "data", "max_unpacked_mb": 1, "prewarm": False}

    def test_an_archive_that_unpacks_to_far_more_is_refused(self, ask, server):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, x=np.zeros((2**20, 4)), y=np.zeros(2**20, int))
        assert len(buffer.getvalue()) < 2**20
        answer = ask.upload(buffer.getvalue())
        assert answer.status_code == 413, answer.json
        assert left(server) == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "no spaces please"}, "name"),
        ({"format": "npy"}, "format"),
        ({"colour": "red"}, "colour"),
        ({"input": "tesnor"}, "input.kind"),
        ({"input": '{"kind": '}, "input"),
        ({"input": '{"kind": "tesnor"}'}, "input.kind"),
        ({"input": '{"kind": "tensor", "shape": [1]}'}, "input.shape"),
        ({"target": '{"kind": 3}'}, "target.kind"),
    ],
)
def test_a_wrong_field_is_named(ask, server, fields, param):
    answer = ask.upload(ask.npz(**FINE), **fields)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)
    assert left(server) == []


@pytest.mark.parametrize("keep", [1, 60, 200, -1])
def test_an_upload_that_breaks_off_leaves_nothing(ask, http, server, keep):
    body = ask.multipart(ask.npz(**FINE))[: keep if keep >= 0 else -3]
    answer = http.post("/v1/datasets", data=body, content_type=MULTIPART)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "upload_truncated")
    assert left(server) == []


def test_a_connection_that_breaks_off_before_the_announced_length_leaves_nothing(ask, http, server):
    body = ask.multipart(ask.npz(**FINE))
    answer = http.post(
        "/v1/datasets", input_stream=io.BytesIO(body[:200]), content_length=len(body), content_type=MULTIPART
    )
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "upload_truncated")
    assert left(server) == []


def test_a_form_without_a_file_is_told_which_one_is_missing(http):
    body = b'--cut\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--cut--\r\n'
    answer = http.post("/v1/datasets", data=body, content_type=MULTIPART)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "file")


def test_a_second_file_is_refused(ask, http, server):
    body = ask.multipart(ask.npz(**FINE)).removesuffix(b"--cut--\r\n") + ask.multipart(b"second")
    answer = http.post("/v1/datasets", data=body, content_type=MULTIPART)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "file_unexpected")
    assert left(server) == []


def test_json_instead_of_a_form_is_unsupported(http):
    answer = http.post("/v1/datasets", data=json.dumps({}), content_type="application/json")
    assert (answer.status_code, answer.json["error"]["code"]) == (415, "content_type_unsupported")


def test_a_dataset_that_a_job_waits_for_cannot_be_deleted(ask, http, server):
    server.runner.stop(0)  # nobody takes the job from the queue
    id = ask.upload(ask.npz(x=np.ones((40, 2)), y=np.arange(40) % 2)).json["id"]
    job = http.post("/v1/jobs", json={"type": "training", "dataset": id, "name": "m"}).json
    answer = http.delete(f"/v1/datasets/{id}")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "dataset_in_use")
    assert job["id"] in answer.json["error"]["message"]


def test_a_clip_of_three_hours_takes_no_more_memory_to_refuse_than_one_of_a_minute(ask):
    """The longer clip has 11 MB, packed 11 KB; the first of all brings the modules that read it."""
    most = []
    for seconds in (61, 61, 3 * 3600):
        content = zipped(**{"no__0.wav": silence(1), "yes__0.wav": silence(1), "no__long.wav": silence(seconds)})
        tracemalloc.start()
        refused = ask.upload(content, filename="words.zip")
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert "at most 1 min 0 s" in refused.json["error"]["message"]
    assert most[2] < most[1] + (1 << 20)
