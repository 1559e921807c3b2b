"""Figures of deployments by spans: added up, condensed with age, gone with their deployment."""

from __future__ import annotations

import pytest

from lmaas_server.records import DetectorRecord, ObservationRecord


@pytest.fixture
def observations(storage, a_deployment):
    storage.deployments.create(a_deployment())
    return storage.observations


def seen(begin=0, *, model="digits@1", shadow=False, deployment="reader", **figures):
    return ObservationRecord(deployment=deployment, model=model, shadow=shadow, begin=begin, **figures)


def test_figures_of_one_span_and_version_are_added_up(observations):
    observations.add([seen(requests=2, seconds=0.5, latency={"3": 2}), seen(requests=1, latency={"3": 1, "9": 1})])
    observations.add([seen(requests=4, feedback={"label": 2}, ratings={"up": 1})])
    (total,) = observations.since("reader", 0)
    assert (total.requests, total.seconds, total.latency) == (7, 0.5, {"3": 3, "9": 1})
    assert (total.feedback, total.ratings) == ({"label": 2}, {"up": 1})


def test_spans_versions_and_shadows_are_kept_apart(observations):
    observations.add([seen(60), seen(120), seen(120, model="digits@2"), seen(120, shadow=True)])
    assert [found.begin for found in observations.since("reader", 61)] == [120, 120, 120]
    assert [found.shadow for found in observations.since("reader", 61, model="digits@1")] == [False, True]


def test_what_is_said_of_a_deployment_that_is_gone_is_dropped(storage, observations, a_deployment):
    observations.add([seen(requests=1), seen(deployment="gone", requests=1)])
    storage.deployments.delete("reader")
    storage.deployments.create(a_deployment())
    assert observations.since("reader", 0) == []
    assert observations.since("gone", 0) == []


def test_old_minutes_become_hours_without_losing_a_count(observations):
    observations.add([seen(minute * 60, requests=minute, latency={"1": minute}) for minute in range(200)])
    observations.condense(hourly_before=2 * 3600 + 1800, drop_before=0)
    found = observations.since("reader", 0)
    assert [span.begin for span in found[:3]] == [0, 3600, 7200]
    assert len(found) == 2 + 80
    assert sum(span.requests for span in found) == sum(span.latency.get("1", 0) for span in found) == sum(range(200))


def test_what_is_too_old_is_dropped(observations):
    observations.add([seen(60, requests=1), seen(7200, requests=2)], [detector(1.0), detector(9.0, model="digits@2")])
    observations.condense(hourly_before=3600, drop_before=100)
    assert [span.requests for span in observations.since("reader", 0)] == [2]
    assert observations.detectors("reader") == []


def test_what_a_detector_remembers_is_replaced(observations):
    observations.add([], [detector(1.0)])
    observations.add([], [detector(2.0)])
    assert observations.detectors("reader") == [detector(2.0)]


def detector(now, *, model="digits@1"):
    return DetectorRecord(deployment="reader", model=model, state={"at": now}, updated_at=now)
