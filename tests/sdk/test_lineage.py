"""A lineage drawn as a tree, in a terminal that can show it and in one that cannot."""

from __future__ import annotations

import io
import sys

import httpx
import pytest

from lmaas.types import Lineage

VERSIONS = [
    {
        "id": "digits@3",
        "created_at": 1_795_000_000.0,
        "aliases": ["best"],
        "serving": [{"deployment": "reader", "role": "champion"}],
        "metrics": {"accuracy": 0.9744, "fresh_champion": 0.529, "fresh_candidate": 0.866},
        "job": {"id": "job-3", "type": "update", "strategy": "replay_distill", "status": "succeeded"},
        "dataset": {"id": "ds-1", "name": "digits", "rows": 60000},
        "parent": "digits@2",
        "feedback": {
            "used": 250,
            "held_out": 62,
            "contradictions": 3,
            "capped": {"loud": 210},
            "applied": 312,
            "by_kind": {"label": 300, "rating": 12},
            "by_source": {"ann": 200, "bob": 100},
        },
    },
    {
        "id": "digits@2",
        "gone": True,
        "job": {"id": "job-2", "gone": True},
        "parent": "digits@1",
    },
    {
        "id": "digits@1",
        "serving": [{"deployment": "reader", "role": "shadow"}],
        "job": {"id": "job-1", "type": "training"},
        "dataset": {"id": "ds-1", "name": "digits", "rows": 60000, "gone": True},
    },
]
LINEAGE = Lineage.model_validate({"id": "digits@3", "versions": VERSIONS})
TREE = """\
★ digits@3 · champion of reader · @best · accuracy 0.974 · on new feedback 0.529 → 0.866 · 2026-11-18 11:06
├── update job-3 · replay_distill
├── feedback 250 learned from · 62 judged by · 3 replaced by later ones
│   ├── 300 label · 12 rating
│   ├── 200 from ann · 100 from bob · 12 from nobody by name
│   └── left out beyond its share · 210 loud
└── ✝ digits@2 · gone
    ├── job job-2 · gone
    └── digits@1 · shadow of reader
        ├── training job-1
        └── dataset ds-1 · digits · 60,000 rows · gone"""


class Terminal(io.StringIO):
    """Standard output of an encoding."""

    def __init__(self, encoding):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding


@pytest.mark.parametrize("encoding", ["utf-8", None])
def test_a_lineage_prints_as_a_tree(monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", Terminal(encoding))
    assert str(LINEAGE) == TREE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "no-such-encoding"])
def test_where_the_terminal_lacks_the_characters_the_tree_is_plain(monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", Terminal(encoding))
    found = str(LINEAGE)
    assert found.isascii()
    assert "|-- update job-3 - replay_distill" in found
    assert "`-- x digits@2 - gone" in found
    assert found == LINEAGE.tree(plain=True)
    assert len(found.splitlines()) == len(TREE.splitlines())


def test_a_line_that_is_cut_says_that_there_is_more():
    cut = Lineage.model_validate({"id": "digits@3", "versions": VERSIONS[:1], "has_more": True})
    assert cut.tree(plain=False).splitlines()[-1] == "└── digits@2 · and before"


def test_its_repr_is_short():
    assert repr(LINEAGE) == "Lineage('digits@3', 3 versions)"


def test_the_client_asks_for_the_lineage_of_a_version(connect):
    asked = []

    def answer(request):
        asked.append(str(request.url))
        return httpx.Response(200, json={"id": "digits@3", "object": "model.lineage", "versions": VERSIONS})

    found = connect(answer).models.lineage("digits@3", limit=5)
    assert asked == ["http://test/v1/models/digits@3/lineage?limit=5"]
    assert found.versions[0].champion_of == ["reader"]
    assert found.tree(plain=False) == TREE
