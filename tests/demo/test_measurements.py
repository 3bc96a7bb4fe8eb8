"""What follows from records: shares within sampling error, periods between changes, and how long harm lasted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.demo.harness.request_result import RequestResult
from controller.demo.measurements import ENOUGH, ObservedShare, measure_harm, measure_share, periods
from controller.demo.traffic_split import TrafficSplit, requests_by_version, split_of


def answer(at: float, version: str, outcome: str = "ok") -> RequestResult:
    """An answer sent at that time, that took a millisecond."""
    return RequestResult(at, at + 0.001, version, outcome, 200)


@pytest.mark.parametrize(
    ("weight", "given", "answers", "right"),
    [
        (2000, 200, 1000, True),
        (2000, 240, 1000, True),
        (2000, 300, 1000, False),
        (2000, 0, 1000, False),
        (2000, 8, ENOUGH - 1, False),
        (10_000, 1000, 1000, True),
        (10_000, 999, 1000, False),
        (0, 0, 1000, True),
        (0, 1, 1000, False),
    ],
)
def test_a_share_is_right_within_sampling_error(weight: int, given: int, answers: int, right: bool) -> None:
    """All or nothing must be exact; between them chance has its room; too few answers prove nothing."""
    assert ObservedShare("v2", weight, given, answers).matches is right


@given(st.integers(1, 9999), st.integers(ENOUGH, 5000))
def test_the_exact_share_is_always_right_and_twice_the_weight_seldom(weight: int, answers: int) -> None:
    """Whatever the weight, the expected number passes, and none at all fails once it is improbable."""
    expected = weight * answers / 10_000
    assert ObservedShare("v2", weight, round(expected), answers).matches or expected < 1
    if expected > 25:
        assert not ObservedShare("v2", weight, 0, answers).matches


def test_answers_count_for_the_weights_they_were_sent_under() -> None:
    """What was on its way at a change counts for neither side."""
    changes = [TrafficSplit({"v1": 10_000}, 0.0), TrafficSplit({"v2": 5000, "v1": 5000}, 10.0)]
    first, second = periods(changes, 20.0)
    assert (first.start, first.end, second.start, second.end) == (0.0, 10.0, 10.0, 20.0)
    answers = [answer(1.0, "v1"), answer(9.999, "v2"), answer(10.001, "v1"), answer(15.0, "v2")]
    assert measure_share(answers, "v2", first) == ObservedShare("v2", 0, 0, 1)
    assert measure_share(answers, "v2", second) == ObservedShare("v2", 5000, 1, 1)


def test_harm_is_measured_from_the_first_bad_answer() -> None:
    """Times run from the first bad answer that a client got to the decision, and from there to the acknowledgement."""
    answers = [answer(10 + n / 10, "v3", "5xx" if n % 5 == 4 else "ok") for n in range(20)]
    done = measure_harm(answers, decided=11.5, acknowledged=11.52)
    assert done is not None
    assert (done.responses, done.bad) == (20, 4)
    assert done.to_decision == pytest.approx(1.1, abs=0.01)
    assert done.to_acknowledgement == pytest.approx(0.02)
    assert done.last_bad - done.first_bad == pytest.approx(1.5)
    assert measure_harm(answers[:4], decided=11.5, acknowledged=11.52) is None


def test_envoy_s_words_become_a_split() -> None:
    """A single cluster and a weighted split are read from Envoy's config dump; other services are ignored."""
    assert split_of({"configs": []}, "digits") is None
    assert split_of(dump({"cluster": "digits/v1"}), "letters") is None
    alone = split_of(dump({"cluster": "digits/v1"}), "digits")
    assert alone is not None
    assert alone.weights == {"v1": 10_000}
    clusters = [{"name": "digits/v2", "weight": 500}, {"name": "digits/v1", "weight": 9500}]
    split = split_of(dump({"weighted_clusters": {"clusters": clusters}}), "digits")
    assert split is not None
    assert split.weights == {"v2": 500, "v1": 9500}


def dump(action: dict[str, object]) -> dict[str, object]:
    """A config dump with one route."""
    table = {"virtual_hosts": [{"routes": [{"route": action}]}]}
    return {"configs": [{"route_config": table, "last_updated": "2026-01-01T00:00:00.125Z"}]}


def test_envoy_s_counts_become_requests_by_version() -> None:
    """The requests of all hosts of a version are added; a counter at zero has no value."""
    hosts = [{"stats": [{"name": "rq_total", "value": "7"}]}, {"stats": [{"name": "rq_total"}, {"name": "cx_total"}]}]
    page = {"cluster_statuses": [{"name": "digits/v1", "host_statuses": hosts}, {"name": "haldane"}]}
    assert requests_by_version(page, "digits") == {"v1": 7}
