"""What a session knows of time: a dwell is served at its own stage, watched, and in one piece with what was stored."""

from typing import Any

import pytest

from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision
from controller.core.control.session import Session, TickInputs, after_commit
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase
from controller.core.model.service_state import ServiceState
from tests.builders import POLICY, freeze, state_in, verdict

PASS = verdict(Outcome.PASS)
BLIND = verdict(Outcome.UNKNOWN, blind=True)
NO_TRAFFIC = Verdict(Outcome.UNKNOWN, (Reason("no_traffic", "nobody asks"),), idle=True)


def looked(
    state: ServiceState, session: Session, at: float, what: Verdict = PASS, **around: Any
) -> tuple[Session, Decision]:
    """One look that is committed if it decides anything."""
    session, _, decision = decide_on_verdict(state, session, what, at, TickInputs(**around), 1000.0 + at)
    return after_commit(session, decision.state, at), decision


def watched(state: ServiceState, seconds: int, what: Verdict = PASS) -> Session:
    """A session that has looked once a second for so long, starting afresh."""
    session = Session.of(state)
    for at in range(seconds + 1):
        session, _, _ = decide_on_verdict(state, session, what, float(at), TickInputs(), 0.0)
    return session


STATE = state_in(Phase.PROGRESSING)


def test_time_is_counted_between_looks() -> None:
    """The first look begins the count; each later one adds what passed."""
    progress = watched(STATE, 10).progress
    assert (progress.observed, progress.elapsed, progress.total) == (10.0, 10.0, 10.0)


@pytest.mark.parametrize(("what", "counted"), [(BLIND, 0.0), (NO_TRAFFIC, 10.0)], ids=["no reports", "no traffic"])
def test_time_that_shows_nothing_serves_no_dwell(what: Verdict, counted: float) -> None:
    """It passes, and serves no dwell; a deadline comes also where no one asks for anything, but not out of sight."""
    progress = watched(STATE, 10, what).progress
    assert (progress.observed, progress.elapsed, progress.total) == (0.0, 10.0, counted)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    """And gives nothing."""
    session = watched(STATE, 10)
    back, _, _ = decide_on_verdict(STATE, session, PASS, 3.0, TickInputs(), 0.0)
    assert back.progress == session.progress


def test_an_own_advance_begins_the_next_dwell() -> None:
    """The total goes on."""
    session = watched(STATE, 59)
    session, decision = looked(STATE, session, 60.0)
    assert decision.kind is LedgerKind.STEP_ADVANCED
    assert (session.progress.observed, session.progress.total) == (0.0, 60.0)
    session, decision = looked(decision.state, session, 119.0)
    assert decision.waits
    assert looked(decision.state, session, 120.0)[1].kind is LedgerKind.PROMOTION_STARTED


def test_an_operators_step_begins_the_next_dwell_too() -> None:
    """An hour of waiting for an approval is no dwell at the weight that was approved."""
    waiting = state_in(Phase.AWAITING_APPROVAL, POLICY.model_copy(update={"approve": (5000,)}))
    session = watched(waiting, 3600)
    approved = execute(waiting, Command(Verb.APPROVE, "go on"), 1.0).state
    session, decision = looked(approved, session, 3601.0)
    assert (decision.waits, session.progress.observed) == (True, 0.0)
    for at in range(3602, 3661):
        session, decision = looked(approved, session, float(at))
        assert decision.waits
    assert looked(approved, session, 3661.0)[1].kind is LedgerKind.PROMOTION_STARTED


@pytest.mark.proves("fault 4", "track-record 3")
def test_a_restart_between_a_step_and_its_saving_costs_the_dwell_not_the_promise() -> None:
    """The session that was stored knows the step before: its time does not count for the one after."""
    before = watched(STATE, 60)
    advanced = looked(STATE, before, 60.0)[1].state
    session, decision = looked(advanced, Session.load(before.dump()), 0.0)
    assert (decision.waits, session.progress.observed) == (True, 0.0)


@pytest.mark.proves("track-record 54")
def test_a_commit_that_took_long_serves_no_dwell() -> None:
    """Until a step is committed, what is watched is the step before."""
    session, _, decision = decide_on_verdict(STATE, watched(STATE, 60), PASS, 60.0, TickInputs(), 0.0)
    session = after_commit(session, decision.state, 200.0)
    session, decision = looked(decision.state, session, 201.0)
    assert (decision.waits, session.progress.observed) == (True, 1.0)


def test_a_restart_goes_on_with_what_was_stored() -> None:
    """What was watched before counts; the time in which no one watched does not."""
    session = Session.load(watched(STATE, 40).dump())
    session, _ = looked(STATE, session, 90_000.0)
    assert session.progress.observed == 40.0
    session, decision = looked(STATE, session, 90_020.0)
    assert decision.kind is LedgerKind.STEP_ADVANCED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"rollout_id": "r1"}',
        '{"rollout_id": "r1", "progress": {}, "stage": null, "evidence": {}}',
    ],
)
def test_a_session_that_cannot_be_read_is_an_error_of_its_own(text: str) -> None:
    """Whoever loads it starts again instead of falling over."""
    with pytest.raises(ValueError, match=r".+"):
        Session.load(text)


def test_a_pause_does_not_end_the_dwell_or_the_bake() -> None:
    """Paused time at a weight is time at that weight: the canary was watched."""
    for phase in (Phase.PROGRESSING, Phase.BAKING):
        state = state_in(phase)
        session = watched(state, 30)
        assert state.rollout
        paused = state.model_copy(update={"rollout": state.rollout.moved(Event.PAUSE, 1.0, "coffee")})
        session, decision = looked(paused, session, 35.0)
        assert decision.waits
        resumed = execute(paused, Command(Verb.RESUME, ""), 1.0).state
        assert looked(resumed, session, 36.0)[0].progress.observed == 36.0


def test_the_bake_begins_with_its_phase() -> None:
    """Not with the weight, which it shares with the promotion before it."""
    promoting = state_in(Phase.PROMOTING)
    session, decision = looked(promoting, watched(promoting, 30), 31.0)
    assert decision.kind is LedgerKind.BAKE_STARTED
    assert session.progress.observed == 0.0


def test_the_warm_up_counts_towards_the_first_dwell() -> None:
    """The weight is the same."""
    warming = state_in(Phase.WARMING)
    session, decision = looked(warming, watched(warming, 30), 31.0)
    assert decision.kind is LedgerKind.ROLLOUT_WARM
    assert session.progress.observed == 31.0


def test_waiting_for_hooks_counts_for_nothing() -> None:
    """Neither for the dwell nor for the deadline."""
    policy = POLICY.model_copy(update={"hooks": ("gate",)})
    waiting = state_in(Phase.WARMING, policy)
    session, decision = looked(waiting, watched(waiting, 100), 101.0)
    assert decision.state.weights["v2"] == 500
    assert (session.progress.observed, session.progress.total) == (0.0, 0.0)


def test_somebody_elses_harm_weighs_as_much_as_measured_harm() -> None:
    """And measured harm keeps its own reasons."""
    reason = Reason("hook", "the hook says rollback")
    session, decision = looked(STATE, Session.of(STATE), 0.0, harm=reason)
    assert (decision.kind, decision.reason) == (LedgerKind.ROLLBACK, "the hook says rollback")
    both = decide_on_verdict(STATE, session, verdict(Outcome.HARM), 1.0, TickInputs(harm=reason), 0.0)
    assert both[2].reason == "5xx says harm"


def test_a_freeze_around_is_asked_for_the_service_itself() -> None:
    """A freeze of another service stops nothing here."""
    session = watched(STATE, 60)
    assert looked(STATE, session, 61.0, freezes=(freeze("other"),))[1].kind is LedgerKind.STEP_ADVANCED
    frozen = looked(STATE, session, 61.0, freezes=(freeze("scorer"),))[1]
    assert (frozen.waits, frozen.act) == (True, Act.RECORD)
