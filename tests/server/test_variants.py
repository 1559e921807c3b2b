"""Rearranged variants and the way back: nobody loses a share it should keep, and nothing bad comes back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.errors import ConflictError
from lmaas_server.records import RevisionRecord
from lmaas_server.services.history import AUTOMATIC, way_back
from lmaas_server.services.variants import alike, models_of, with_canary, with_champion, without_canaries

MODELS = [f"m@{number}" for number in range(1, 7)]
NEW = "m@9"
weights = st.floats(1e-3, 1e6)
roles = st.sampled_from(["champion", "canary", "shadow"])


@st.composite
def deployments(draw):
    """Variants with at least one champion, of other versions than the candidate, or of it too."""
    models = draw(st.lists(st.sampled_from([*MODELS, NEW]), min_size=1, max_size=5, unique=True))
    variants = [{"model": model, "weight": draw(weights), "role": draw(roles)} for model in models]
    return [{"model": "m@0", "weight": draw(weights), "role": "champion"}, *variants]


def share_of(variants, *models):
    answering = [v for v in variants if v["role"] != "shadow"]
    total = sum(v["weight"] for v in answering)
    return sum(v["weight"] for v in answering if v["model"] in models) / total


@given(deployments(), st.floats(0.01, 0.99))
def test_a_canary_has_exactly_its_share_and_the_champions_keep_their_proportions(variants, share):
    tried = with_canary(variants, NEW, share=share)
    assert share_of(tried, NEW) == pytest.approx(share)
    before = [v for v in variants if v["role"] == "champion" and v["model"] != NEW]
    after = {v["model"]: v["weight"] for v in tried}
    ratios = [after[v["model"]] / v["weight"] for v in before]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


@given(deployments(), st.floats(0.01, 0.99))
def test_nobody_is_listed_twice_and_there_is_one_canary(variants, share):
    tried, promoted = with_canary(variants, NEW, share=share), with_champion(variants, NEW, instead_of="m@0")
    assert [len(models_of(some)) for some in (tried, promoted)] == [len(tried), len(promoted)]
    assert [v["model"] for v in tried if v["role"] == "canary"] == [NEW]


@given(deployments())
def test_a_new_champion_has_the_shares_of_both_and_the_others_keep_theirs(variants):
    promoted = with_champion(variants, NEW, instead_of="m@0")
    assert promoted[0]["role"] == "champion"
    assert share_of(promoted, NEW) == pytest.approx(share_of(variants, "m@0", NEW))
    others = [v for v in variants if v["model"] not in {"m@0", NEW}]
    assert promoted[1:] == others


@given(deployments(), st.floats(0.01, 0.99))
def test_without_its_canary_a_deployment_serves_as_before(variants, share):
    plain = [v for v in variants if v["role"] != "canary" and v["model"] != NEW]
    assert alike(without_canaries(with_canary(plain, NEW, share=share)), plain)


def test_only_canaries_have_nobody_to_step_back_for():
    assert without_canaries([{"model": "m@1", "weight": 1.0, "role": "canary"}]) == []


def revision(number, models, cause="change"):
    variants = tuple({"model": model, "weight": 1.0, "role": "champion"} for model in sorted(models))
    return RevisionRecord(
        deployment="d", revision=number, variants=variants, reason="", actor=None, created_at=0.0, cause=cause
    )


histories = st.lists(
    st.tuples(st.sets(st.sampled_from(MODELS), min_size=1, max_size=3), st.sampled_from(["change", AUTOMATIC])),
    min_size=1,
    max_size=8,
)


@given(histories)
def test_the_way_back_leads_to_another_state_and_to_nothing_that_was_taken_back_since(states):
    history = [revision(number, *state) for number, state in enumerate(states, start=1)][::-1]
    try:
        found = way_back(history)
    except ConflictError:
        return
    removed = {
        model
        for later, earlier in pairwise(history)
        if later.cause == AUTOMATIC and later.revision > found.revision
        for model in models_of(earlier.variants) - models_of(later.variants)
    }
    assert not models_of(found.variants) & removed
    assert not alike(found.variants, history[0].variants)
    assert found.revision < history[0].revision


@given(st.sets(st.sampled_from(MODELS), min_size=1), st.sets(st.sampled_from(MODELS), min_size=1))
def test_without_an_automatic_rollback_the_way_back_is_to_the_last_other_state(first, second):
    history = [revision(3, second), revision(2, second), revision(1, first)]
    if first == second:
        with pytest.raises(ConflictError):
            way_back(history)
    else:
        assert way_back(history).revision == 1
