"""The transition table: every event in every phase, its answer and what it does to step and weight."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.rollout import JUDGED, RUNNING, TRANSITIONS, Event, Phase, Rollout
from tests.builders import POLICY, idle, rollout_in

LEGAL: dict[Phase, dict[Event, Phase]] = {
    Phase.IDLE: {Event.START: Phase.WARMING},
    Phase.WARMING: {
        Event.START: Phase.WARMING,
        Event.BEGIN: Phase.WARMING,
        Event.WARM: Phase.PROGRESSING,
        Event.PROMOTE: Phase.PROMOTING,
        Event.PAUSE: Phase.PAUSED,
        Event.ROLLBACK: Phase.ROLLING_BACK,
    },
    Phase.PROGRESSING: {
        Event.START: Phase.WARMING,
        Event.ADVANCE: Phase.PROGRESSING,
        Event.AWAIT_APPROVAL: Phase.AWAITING_APPROVAL,
        Event.PROMOTE: Phase.PROMOTING,
        Event.PAUSE: Phase.PAUSED,
        Event.ROLLBACK: Phase.ROLLING_BACK,
    },
    Phase.PAUSED: {
        Event.START: Phase.WARMING,
        Event.PROMOTE: Phase.PROMOTING,
        Event.RESUME: Phase.PROGRESSING,
        Event.ROLLBACK: Phase.ROLLING_BACK,
    },
    Phase.AWAITING_APPROVAL: {
        Event.START: Phase.WARMING,
        Event.ADVANCE: Phase.PROGRESSING,
        Event.PROMOTE: Phase.PROMOTING,
        Event.PAUSE: Phase.PAUSED,
        Event.ROLLBACK: Phase.ROLLING_BACK,
    },
    Phase.PROMOTING: {
        Event.CONFIRM: Phase.BAKING,
        Event.PAUSE: Phase.PAUSED,
        Event.ROLLBACK: Phase.ROLLING_BACK,
    },
    Phase.BAKING: {Event.BAKED: Phase.PROMOTED, Event.PAUSE: Phase.PAUSED, Event.ROLLBACK: Phase.ROLLING_BACK},
    Phase.PROMOTED: {Event.START: Phase.WARMING, Event.ROLLBACK: Phase.ROLLING_BACK},
    Phase.ROLLING_BACK: {Event.CONFIRM: Phase.ROLLED_BACK},
    Phase.ROLLED_BACK: {Event.START: Phase.WARMING},
}
"""What each phase knows, written a second time: a slip in the table has to be made twice."""

EVERY_PAIR = [(phase, event) for phase in Phase for event in Event]


def test_every_pair_has_an_answer() -> None:
    """The table is the full product of phases and events: nothing is left to chance."""
    assert set(TRANSITIONS) == set(EVERY_PAIR)


@pytest.mark.parametrize(("phase", "event"), EVERY_PAIR, ids=lambda value: value.value)
def test_an_event_leads_where_it_should_or_is_refused(phase: Phase, event: Event) -> None:
    """Where the phase does not know the event, nothing happens and the error names both."""
    rollout = rollout_in(phase)
    assert rollout.phase is phase
    target = LEGAL[phase].get(event)
    assert rollout.can(event) == (target is not None)
    if target is None:
        with pytest.raises(ValueError, match=f"{event} is not possible in {phase}"):
            rollout.moved(event, 200.0, "why")
        return
    moved = rollout.moved(event, 200.0, "why")
    assert (moved.phase, moved.entered_at, moved.reason) == (target, 200.0, "why")
    fixed = ("id", "service", "stable", "canary", "policy", "started_at")
    assert [getattr(moved, name) for name in fixed] == [getattr(rollout, name) for name in fixed]


WEIGHTS = [
    ("start", Phase.IDLE, Event.START, 0, 500),
    ("a start anew forgets the step", Phase.PROGRESSING, Event.START, 0, 500),
    ("the warm-up's end moves nothing", Phase.WARMING, Event.WARM, 0, 500),
    ("the next step", Phase.PROGRESSING, Event.ADVANCE, 2, 5000),
    ("an approval is the next step", Phase.AWAITING_APPROVAL, Event.ADVANCE, 2, 5000),
    ("asking moves nothing", Phase.PROGRESSING, Event.AWAIT_APPROVAL, 1, 2500),
    ("promotion is all but the holdback", Phase.PROGRESSING, Event.PROMOTE, 1, 9500),
    ("promotion out of a pause", Phase.PAUSED, Event.PROMOTE, 1, 9500),
    ("its confirmation moves nothing", Phase.PROMOTING, Event.CONFIRM, 2, 9500),
    ("the end of the bake is everything", Phase.BAKING, Event.BAKED, 2, TOTAL_WEIGHT),
    ("a pause moves nothing", Phase.PROGRESSING, Event.PAUSE, 1, 2500),
    ("nor its end", Phase.PAUSED, Event.RESUME, 1, 2500),
    ("a rollback leaves nothing", Phase.PROGRESSING, Event.ROLLBACK, 1, 0),
    ("not while promoting", Phase.PROMOTING, Event.ROLLBACK, 2, 0),
    ("nor in the bake", Phase.BAKING, Event.ROLLBACK, 2, 0),
    ("nor after it", Phase.PROMOTED, Event.ROLLBACK, 2, 0),
    ("its confirmation neither", Phase.ROLLING_BACK, Event.CONFIRM, 1, 0),
]


@pytest.mark.parametrize(
    ("phase", "event", "step", "weight"), [row[1:] for row in WEIGHTS], ids=[r[0] for r in WEIGHTS]
)
def test_step_and_weight_follow_the_event(phase: Phase, event: Event, step: int, weight: int) -> None:
    """The weight after each event is the step's, all but the holdback, all, or none."""
    moved = rollout_in(phase).moved(event, 200.0, "why")
    assert (moved.step, moved.weight) == (step, weight)


PAUSABLE = [Phase.WARMING, Phase.PROGRESSING, Phase.AWAITING_APPROVAL, Phase.PROMOTING, Phase.BAKING]
WHILE_PAUSED = {
    Phase.WARMING: {Event.START, Event.PROMOTE},
    Phase.PROGRESSING: {Event.START, Event.PROMOTE},
    Phase.AWAITING_APPROVAL: {Event.START, Event.PROMOTE},
    Phase.PROMOTING: set[Event](),
    Phase.BAKING: {Event.BAKED},
}
"""What else than a resume and a rollback is possible in a pause, by the phase that was paused."""


@pytest.mark.parametrize("phase", PAUSABLE)
@pytest.mark.parametrize("event", Event)
def test_in_a_pause_only_that_is_possible_which_was_before(phase: Phase, event: Event) -> None:
    """All weight on the canary, a pause is no way to begin the promotion or its bake again; the bake can be ended."""
    paused = rollout_in(phase).moved(Event.PAUSE, 200.0, "coffee")
    assert paused.can(event) == (event in {Event.RESUME, Event.ROLLBACK} | WHILE_PAUSED[phase])
    if not paused.can(event):
        with pytest.raises(ValueError, match=f"{event} is not possible in PAUSED"):
            paused.moved(event, 300.0, "why")


@pytest.mark.parametrize("phase", PAUSABLE)
def test_a_pause_returns_to_where_it_was(phase: Phase) -> None:
    """Also during the warm-up, before an approval, while promoting, and in the bake."""
    before = rollout_in(phase)
    paused = before.moved(Event.PAUSE, 200.0, "coffee")
    assert (paused.phase, paused.paused_in, paused.weight) == (Phase.PAUSED, phase, before.weight)
    resumed = paused.moved(Event.RESUME, 300.0, "back")
    assert (resumed.phase, resumed.paused_in, resumed.step, resumed.weight) == (phase, None, before.step, before.weight)


def test_with_hooks_a_rollout_begins_without_weight() -> None:
    """Until the hooks let it begin, the canary gets nothing."""
    started = idle(POLICY.model_copy(update={"hooks": ("gate",)})).moved(Event.START, 1.0, "go")
    assert (started.phase, started.weight) == (Phase.WARMING, 0)
    assert started.moved(Event.BEGIN, 2.0, "yes").weight == 500


def test_what_was_suppressed_is_told_once_in_a_phase() -> None:
    """A pause and its end are no new phase for that; any other event is."""
    told = rollout_in(Phase.PROGRESSING).model_copy(update={"suppressed": ("*@1.000:5xx",)})
    paused = told.moved(Event.PAUSE, 1.0, "coffee")
    assert paused.suppressed == paused.moved(Event.RESUME, 2.0, "back").suppressed == ("*@1.000:5xx",)
    assert told.moved(Event.ADVANCE, 1.0, "good").suppressed == ()


def test_the_phases_that_run_and_those_that_are_judged() -> None:
    """Harm leads to a rollback in every phase in which there is something to roll back by itself."""
    assert {Phase.IDLE, Phase.PROMOTED, Phase.ROLLED_BACK} == set(Phase) - RUNNING
    assert {Phase.ROLLING_BACK} == RUNNING - JUDGED
    assert all(TRANSITIONS[phase, Event.ROLLBACK] != "-" for phase in JUDGED)


RAISING = (Event.START, Event.BEGIN, Event.ADVANCE, Event.PROMOTE, Event.BAKED)
"""The events that may give the canary more."""

HOLDBACKS = [
    ("the default", {}, 9500),
    ("the largest", {"holdback": 5000}, 5000),
    ("none", {"holdback": 0}, TOTAL_WEIGHT),
    ("never less than the last step", {"steps": (500, 8000), "holdback": 5000}, 8000),
    ("nothing to hold back for", {"bake": 0.0}, TOTAL_WEIGHT),
]


@pytest.mark.parametrize(("fields", "weight"), [row[1:] for row in HOLDBACKS], ids=[row[0] for row in HOLDBACKS])
def test_stable_keeps_the_holdback_until_the_bake_is_over(fields: dict[str, Any], weight: int) -> None:
    """From the promotion on, through the bake; the canary has everything after it."""
    policy = POLICY.model_copy(update=fields)
    last = rollout_in(Phase.WARMING, policy).moved(Event.PROMOTE, 1.0, "yes")
    assert (last.phase, last.weight) == (Phase.PROMOTING, weight)
    baking = last.moved(Event.CONFIRM, 2.0, "all proxies")
    assert (baking.phase, baking.weight) == (Phase.BAKING, weight)
    assert baking.moved(Event.BAKED, 3.0, "no harm").weight == TOTAL_WEIGHT


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_whatever_happens_the_weight_is_a_step_the_bakes_all_or_none(events: list[Event]) -> None:
    """Any story: weights are those of the policy, the step is one of its steps, and only START leaves an end."""
    rollout: Rollout = idle()
    for event in events:
        if not rollout.can(event) or (event is Event.ADVANCE and rollout.step + 1 == len(POLICY.steps)):
            continue
        before, rollout = rollout, rollout.moved(event, 1.0, "")
        assert rollout.weight in (0, *POLICY.steps, POLICY.bake_weight, TOTAL_WEIGHT)
        assert 0 <= rollout.step < len(POLICY.steps)
        assert rollout.weight <= before.weight or event in RAISING
        if before.phase is Phase.ROLLED_BACK:
            assert event is Event.START
