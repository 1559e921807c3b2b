"""Explanations in the client: what is sent, and how they are drawn."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import zlib
from typing import Any

import httpx
import pytest

from lmaas import InvalidRequestError
from lmaas.types import Explanation


def png(side: int = 4) -> str:
    """A grey picture, by hand: the client needs no imaging library."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + bytes(range(0, 40 * side, 40)) for _ in range(side)))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


LABELLED: dict[str, Any] = {
    "label": "a",
    "score": 0.75,
    "target": "a",
    "output": 2.0,
    "baseline_output": 0.5,
    "delta": 0.0,
}
ROWS: dict[str, dict[str, Any]] = {
    "text": {
        "kind": "text",
        "input": "good, not bad",
        "spans": [[0, 4], [4, 5], [6, 9], [10, 13]],
        "tokens": ["good", ",", "not", "bad"],
        "attributions": [2.0, 0.0, -0.5, -1.0],
    },
    "table": {"kind": "table", "input": {"age": 43.0, "job": "cook"}, "attributions": {"age": -0.5, "job": 1.5}},
    "image": {"kind": "image", "input": {"base64": png()}, "attributions": [[[0.1], [0.2], [-0.3], [0.0]]] * 4},
    "tensor": {"kind": "tensor", "input": [1.0, 2.0, 3.0], "attributions": [0.5, -0.25, 0.0]},
    "picture-like tensor": {"kind": "tensor", "input": [[0, 1], [2, 3]], "attributions": [[0.5, -0.25], [0.0, 0.1]]},
    "channels": {"kind": "tensor", "input": [[[0, 1], [2, 3]]] * 2, "attributions": [[[0.5, -0.25], [0.0, 0.1]]] * 2},
    "audio": {
        "kind": "audio",
        "levels": [[-3.0, -1.0, -2.0]] * 5,
        "hertz": [100.0, 400.0, 900.0, 1600.0, 2500.0],
        "frame_seconds": 0.01,
        "attributions": [[0.1, -0.2, 0.3]] * 5,
    },
}
KINDS = pytest.mark.parametrize("kind", ROWS)


def explanation(kind: str, **change: Any) -> Explanation:
    row = {**LABELLED, **ROWS[kind], **change}
    about = {"id": "exp-1", "deployment": "d", "model": "m@1", "method": "saliency", "created_at": 1.0}
    return Explanation.model_validate({**about, "outputs": [row]})


def answering(seen: list[httpx.Request]):
    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=explanation("tensor").model_dump_json())

    return handler


def test_rows_travel_as_json_and_only_what_was_said(connect):
    seen: list[httpx.Request] = []
    found = connect(answering(seen)).explain("d", [[1, 2, 3]], target="a", method="saliency")
    assert seen[0].url.path == "/v1/deployments/d/explanations"
    assert json.loads(seen[0].content) == {"inputs": [[1, 2, 3]], "target": "a", "method": "saliency"}
    assert seen[0].headers["idempotency-key"]
    assert found[0].attributions == [0.5, -0.25, 0.0]
    assert len(found) == 1


def test_an_array_and_the_bytes_of_a_file_travel_as_json_too(connect):
    np = pytest.importorskip("numpy")
    seen: list[httpx.Request] = []
    client = connect(answering(seen))
    client.explain("d", np.ones((1, 2)))
    client.explain("d", b"RIFF")
    assert [json.loads(request.content)["inputs"] for request in seen] == [[[1.0, 1.0]], [{"base64": "UklGRg=="}]]


def test_an_unknown_method_is_refused_before_anything_is_sent(connect):
    seen: list[httpx.Request] = []
    with pytest.raises(InvalidRequestError, match="method"):
        connect(answering(seen)).explain("d", [[1]], method="guess")
    assert seen == []


@KINDS
def test_every_kind_is_drawn(kind, tmp_path):
    pytest.importorskip("matplotlib")
    figure = explanation(kind).plot(path=tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert figure.axes


@KINDS
def test_a_picture_of_a_value_says_what_raises_it(kind, tmp_path):
    pytest.importorskip("matplotlib")
    explanation(kind, label=None, score=None, value=1.5, target=0).plot(path=tmp_path / "e.svg")
    assert (tmp_path / "e.svg").stat().st_size


@KINDS
def test_every_kind_is_shown_in_a_terminal_with_and_without_colours(kind):
    coloured, plain = explanation(kind).text(), explanation(kind).text(colour=False)
    assert coloured.startswith("a (75%)")
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


@KINDS
def test_every_kind_is_html_in_a_notebook(kind):
    html = explanation(kind)._repr_html_()
    assert "a (75%)" in html
    assert html.count("<div") == html.count("</div>")
    assert html.count("<table") == html.count("</table>")


def test_text_is_shown_whole_with_its_strongest_word_strongest():
    shown = explanation("text").text(colour=False)
    assert shown.splitlines()[1] == "good[+1.0],[+0.0] not[-0.2] bad[-0.5]"


def test_columns_come_with_their_values_the_strongest_first():
    lines = explanation("table").text(colour=False).splitlines()
    assert [line.split("  ")[1] for line in lines[1:]] == ["job = cook", "age = 43"]


def test_html_in_a_text_stays_text():
    row = {"input": "<b>", "spans": [[0, 3]], "tokens": ["<b>"], "attributions": [1.0]}
    assert "&lt;b&gt;" in explanation("text", **row)._repr_html_()


def test_another_target_is_said():
    assert explanation("tensor", target="b").text().startswith("a (75%), and what speaks for b")


def test_a_row_that_failed_has_nothing_to_draw():
    failed = explanation("tensor", error={"code": "shape_mismatch", "message": "row 0 has shape ()"})
    for draw in (failed.plot, failed.text):
        with pytest.raises(ValueError, match="row 0 has shape"):
            draw()


def test_nothing_at_all_is_drawn_without_an_error(tmp_path):
    pytest.importorskip("matplotlib")
    for kind, nothing in (("tensor", [0.0, 0.0, 0.0]), ("image", [[[0.0]] * 4] * 4)):
        explanation(kind, attributions=nothing).plot(path=tmp_path / f"{kind}.png")
        drawn = (tmp_path / f"{kind}.png").read_bytes()
        assert drawn.startswith(b"\x89PNG")
        assert len(drawn) > 1000


def test_the_client_draws_only_when_it_is_asked_to():
    code = "import sys, lmaas; lmaas.LMaaS().explain; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
