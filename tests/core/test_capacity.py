"""A rollback must have somewhere to go, and an advance too: what endpoints that are out keep a rollout from."""

import json

import pytest

from controller.core.control.automation import decide
from controller.core.control.blocker import BlockerKind
from controller.core.control.capacity import CapacityGap, capacity_gap
from controller.core.control.describe import plain_blocker
from controller.core.control.session import Session, TickInputs
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.reason import ReasonCode
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.upstream import HealthCheck, Upstream
from controller.core.traffic.endpoint_health import EndpointHealth
from tests.builders import POLICY, situation, state_in, verdict

NOW = 1000.0
ALL_UP = EndpointHealth(10, 10, 10, 3)
"""Ten endpoints, healthy to all three proxies."""


def up(fewest: int, total: int = 10) -> EndpointHealth:
    """So many of the endpoints are healthy."""
    return EndpointHealth(fewest, fewest, total, 3)


@pytest.mark.parametrize(
    ("keep", "at_start", "fewest", "needed"),
    [
        (0.8, 10, 8, None),
        (0.8, 10, 7, 8),
        (0.8, 1, 0, 1),
        (0.8, 2, 1, 2),
        (0.7, 10, 7, None),
        (1.0, 3, 2, 3),
        (0.0, 3, 0, None),
        (0.8, 3, 20, None),
    ],
)
def test_the_gap_is_what_is_below_the_share(keep: float, at_start: int, fewest: int, needed: int | None) -> None:
    """Rounded up to whole endpoints, and never by an error of rounding."""
    expected = CapacityGap(fewest, needed, at_start) if needed else None
    assert capacity_gap(keep, at_start, up(fewest)) == expected


def test_nothing_is_known_before_the_first_report() -> None:
    """Proxies that send no metrics never stop a rollout."""
    assert capacity_gap(0.8, None, up(0)) is None
    assert capacity_gap(0.8, 10, None) is None


def test_a_rollout_does_not_advance_while_stable_has_lost_endpoints() -> None:
    """It says the numbers, for people and for programs."""
    gap = situation()._replace(capacity_gap=CapacityGap(5, 8, 10))
    decision = decide(state_in(Phase.PROGRESSING), gap, NOW)
    assert decision.waits
    assert decision.reason.startswith(
        "does not advance: v1 has 5 healthy endpoints of 10 at the start, and keep_capacity needs 8"
    )
    assert decision.blocker
    plain = plain_blocker(decision.blocker)
    assert (plain["kind"], plain["names"], plain["healthy"], plain["needed"]) == ("capacity", ["v1"], 5, 8)


def test_a_canary_without_healthy_endpoints_gets_no_further_weight() -> None:
    """Where some proxy has none: its share of the requests would fail."""
    decision = decide(state_in(Phase.PROGRESSING), situation()._replace(canary_lacks_upstream=True), NOW)
    assert decision.waits
    assert decision.blocker
    assert (decision.blocker.kind, decision.blocker.stops) == (
        BlockerKind.NO_HEALTHY_UPSTREAM,
        LedgerKind.STEP_ADVANCED,
    )
    assert decision.reason.startswith("does not advance: a proxy has no healthy endpoint of v2")


def test_nothing_advances_while_stable_has_no_healthy_endpoint_at_all() -> None:
    """Also if it never had one, so that there is no start to compare with."""
    decision = decide(state_in(Phase.PROGRESSING), situation(unroutable=True), NOW)
    assert decision.waits
    assert decision.reason.startswith("does not advance: a proxy has no healthy endpoint of v1")


@pytest.mark.parametrize("field", ["capacity_gap", "canary_lacks_upstream"])
def test_neither_stops_a_rollback(field: str) -> None:
    """Traffic leaves a bad canary however little stable has left."""
    value = CapacityGap(1, 8, 10) if field == "capacity_gap" else True
    harm = situation(Outcome.HARM)._replace(**{field: value})
    assert decide(state_in(Phase.PROGRESSING), harm, NOW).kind is LedgerKind.ROLLBACK


def ticked(session: Session, at: float, **health: EndpointHealth | None) -> tuple[Session, Verdict, BlockerKind | None]:
    """One tick with such endpoints, of a rollout for which everything else is in order."""
    state = state_in(Phase.PROGRESSING)
    inputs = TickInputs(endpoints=dict(health))
    session, found, decision = decide_on_verdict(state, session, verdict(Outcome.PASS), at, inputs, NOW)
    return session, found, decision.blocker.kind if decision.blocker else None


def test_the_start_is_the_first_report_and_survives_a_restart() -> None:
    """What stable has later does not lower what it must keep."""
    session = Session.of(state_in(Phase.PROGRESSING))
    session, _, _ = ticked(session, 0.0, v1=None)
    session, _, _ = ticked(session, 1.0, v1=up(0))
    assert session.capacity is None
    session, _, _ = ticked(session, 2.0, v1=ALL_UP)
    session, _, blocker = ticked(session, 3.0, v1=up(7, 7))
    assert (session.capacity, blocker) == (10, BlockerKind.CAPACITY)
    restarted = Session.load(session.dump())
    assert ticked(restarted, 0.0, v1=up(7, 7))[2] is BlockerKind.CAPACITY
    assert ticked(restarted, 10_000.0, v1=up(8, 8))[2] is not BlockerKind.CAPACITY


def test_a_session_that_was_saved_without_it_is_read() -> None:
    """And one that was damaged is not."""
    stored = json.loads(Session.of(state_in(Phase.PROGRESSING)).dump())
    del stored["capacity"]
    assert Session.load(json.dumps(stored)).capacity is None
    with pytest.raises(ValueError, match="not a stored session"):
        Session.load(json.dumps({**stored, "capacity": "many"}))


def test_the_verdict_says_which_endpoints_are_out_and_decides_nothing_by_it() -> None:
    """For each version of which some get no requests."""
    _, plain, before = ticked(Session.of(state_in(Phase.PROGRESSING)), 0.0, v1=ALL_UP, v2=ALL_UP)
    _, found, after = ticked(Session.of(state_in(Phase.PROGRESSING)), 0.0, v1=ALL_UP, v2=up(8))
    assert (found.outcome, found.cause, found.reasons[:-1], after) == (
        plain.outcome,
        plain.cause,
        plain.reasons,
        before,
    )
    assert found.reasons[-1].code is ReasonCode.ENDPOINTS_OUT
    assert found.reasons[-1].text.startswith("2 of 10 endpoints of v2 get no requests")


@pytest.mark.parametrize("checked", [False, True])
def test_a_canary_with_health_checks_waits_for_the_first_report(checked: bool) -> None:
    """It has no weight before a proxy says that it is up; without checks an address is taken to be."""
    state = state_in(Phase.WARMING, POLICY.model_copy(update={"hooks": ("gate",)}))
    upstream = Upstream(health=HealthCheck(kind="tcp")) if checked else Upstream()
    versions = tuple(version.model_copy(update={"upstream": upstream}) for version in state.spec.versions)
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"versions": versions})})
    _, _, decision = decide_on_verdict(
        state, Session.of(state), verdict(Outcome.UNKNOWN, warm=False), 0.0, TickInputs(), NOW
    )
    assert decision.waits is checked
