"""A shadow step: what automation, operators and routes make of it."""

import pytest

from controller.core.control.automation import decide
from controller.core.control.blocker import BlockerKind
from controller.core.control.commands import Command, Verb, execute
from controller.core.control.session import Session, after_commit
from controller.core.judge.verdict import Outcome
from controller.core.model.cluster_names import ClusterId, Role, cluster_name
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase
from controller.core.model.route_rules import Mirror
from controller.core.model.service import Policy, Shadow
from controller.core.model.service_state import ServiceState
from controller.core.routing.route import cluster_ids, proxyless_routes, routes_of
from tests.builders import FREEZE, POLICY, idle, service, situation

NOW = 500.0
SHADOWED = POLICY.model_copy(update={"steps": (0, *POLICY.steps), "shadow": Shadow(dwell=600.0)})
COPIES = cluster_name("scorer", "v2", Role.MIRROR), 1000


def shadow(*events: Event, policy: Policy = SHADOWED, mirror: Mirror | None = None) -> ServiceState:
    """A rollout that has started, and what happened since."""
    rollout = idle(policy)
    for event in (Event.START, *events):
        rollout = rollout.moved(event, 100.0, event)
    return ServiceState(spec=service(policy=policy, mirror=mirror), source="", stable="v1", rollout=rollout)


def mirrors(state: ServiceState) -> set[tuple[str, int] | None]:
    return {route.mirror for route in routes_of(state)}


@pytest.mark.parametrize("after", [(), (Event.WARM,), (Event.WARM, Event.PAUSE), (Event.WARM, Event.AWAIT_APPROVAL)])
def test_the_canary_has_copies_and_no_weight(after: tuple[Event, ...]) -> None:
    """All traffic is stable's. Clients without a proxy send no copies."""
    state = shadow(*after)
    assert state.weights == {"v2": 0, "v1": 10_000}
    assert mirrors(state) == {COPIES}
    assert {route.mirror for route in proxyless_routes(routes_of(state))} == {None}


@pytest.mark.parametrize("after", [Event.ADVANCE, Event.PROMOTE, Event.ROLLBACK])
def test_copies_end_with_the_step(after: Event) -> None:
    state = shadow(Event.WARM, after)
    assert mirrors(state) == {None}
    assert state.rollout
    assert state.rollout.copies == 0


def test_the_canary_comes_before_the_services_own_mirror() -> None:
    """Which goes on once the canary has a weight."""
    mirror = Mirror(to="v3", share=2500)
    assert mirrors(shadow(mirror=mirror)) == {COPIES}
    assert mirrors(shadow(Event.WARM, Event.ADVANCE, mirror=mirror)) == {("scorer/v3/mirror", 2500)}


def test_a_file_that_forbids_copies_ends_them() -> None:
    """The rollout goes on by its own policy, and waits."""
    assert mirrors(shadow().model_copy(update={"spec": service(policy=SHADOWED, idempotent=False)})) == {None}


def test_a_start_changes_routes_alone() -> None:
    """Every version that may be a canary has its cluster, also where the policy changes in the middle of a rollout."""
    at_rest = shadow().model_copy(update={"rollout": None})
    clusters = set(cluster_ids(at_rest))
    assert {each for each in clusters if each.role is Role.MIRROR} == {
        ClusterId("scorer", version, Role.MIRROR) for version in ("v2", "v3")
    }
    assert set(cluster_ids(shadow())) == clusters
    assert set(cluster_ids(shadow().model_copy(update={"spec": service(policy=POLICY)}))) == clusters


def test_it_is_left_on_proof_after_its_time() -> None:
    """For the first weight; the usual dwell is that of the other steps."""
    state = shadow(Event.WARM)
    early = decide(state, situation(observed=599.0), NOW)
    assert early.waits
    assert early.blocker
    assert (early.blocker.kind, early.remark) == (BlockerKind.DWELL, "1 s of the shadow step are left")
    assert decide(state, situation(Outcome.UNKNOWN), NOW).waits
    advanced = decide(state, situation(observed=600.0), NOW)
    assert (advanced.kind, advanced.state.weights["v2"]) == (LedgerKind.STEP_ADVANCED, 500)
    assert decide(advanced.state, situation(observed=60.0), NOW).state.weights["v2"] == 2500


def test_harm_by_copies_ends_the_rollout() -> None:
    decision = decide(shadow(), situation(Outcome.HARM), NOW)
    assert decision.state.rollout
    assert (decision.kind, decision.state.rollout.phase) == (LedgerKind.ROLLBACK, Phase.ROLLING_BACK)
    assert mirrors(decision.state) == {None}


def test_a_freeze_stops_it_like_any_other_step() -> None:
    frozen = situation(freezes=FREEZE)
    assert decide(shadow(Event.WARM), frozen, NOW).waits
    suppressed = decide(shadow(), situation(Outcome.HARM, freezes=FREEZE), NOW)
    assert suppressed.kind is LedgerKind.ROLLBACK_SUPPRESSED
    assert mirrors(suppressed.state) == {COPIES}


def test_copies_wait_for_the_hooks() -> None:
    """As a weight does."""
    policy = SHADOWED.model_copy(update={"hooks": ("smoke",)})
    waiting = shadow(policy=policy)
    assert mirrors(waiting) == {None}
    begun = decide(waiting, situation(), NOW)
    assert (begun.reason, mirrors(begun.state)) == ("begins in the shadow step", {COPIES})


def test_the_first_weight_can_need_approval() -> None:
    asked = decide(shadow(Event.WARM, policy=SHADOWED.model_copy(update={"approve": (500,)})), situation(), NOW)
    assert asked.kind is LedgerKind.APPROVAL_NEEDED
    approved = execute(asked.state, Command(Verb.APPROVE, "seen", weight=500), NOW)
    assert (approved.state.weights["v2"], mirrors(approved.state)) == (500, {None})


def test_its_time_serves_no_other_step() -> None:
    """And counts towards the deadline, unlike the time before it."""
    state = shadow(Event.WARM)
    session = Session.of(state)
    session = session._replace(progress=session.progress.after(600.0, 600.0, idle=False))
    moved = after_commit(session, decide(state, situation(), NOW).state, 1.0)
    assert (moved.progress.observed, moved.progress.total) == (0.0, 600.0)
    assert Session.load(moved.dump()).position == moved.position
