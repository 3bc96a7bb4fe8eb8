"""What an operator's command does: a table over every phase, and what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.control.commands import Command, Verb, execute
from controller.core.model.freeze import Act, blocking_freeze
from controller.core.model.rollout import JUDGED, RUNNING, Phase
from controller.core.model.service import Fallback
from controller.core.model.service_state import FIXED_RESPONSE, ServiceState
from tests.builders import FREEZE, HOLD, LAST, POLICY, state_in

NOW = 500.0


VERBS = """
                   start  pause  resume  approve  promote  rollback
IDLE               yes    NO     NO      NO       NO       NO
WARMING            yes    yes    not     not      yes      yes
PROGRESSING        yes    yes    not     not      yes      yes
PAUSED             yes    not    yes     not      yes      yes
AWAITING_APPROVAL  yes    yes    not     yes      yes      yes
PROMOTING          run    yes    not     not      not      yes
BAKING             run    yes    not     not      yes      yes
PROMOTED           yes    NO     NO      NO       NO       yes
ROLLING_BACK       run    not    not     not      not      NO
ROLLED_BACK        yes    NO     NO      NO       NO       NO
"""
"""What an operator may ask in each phase; where not: ALREADY_RUNNING (run), NOT_POSSIBLE (not), NO_ROLLOUT (NO).
The start is that of a third version."""

CODES = {"run": Code.ALREADY_RUNNING, "not": Code.NOT_POSSIBLE, "NO": Code.NO_ROLLOUT}
CELLS = [
    (Phase(row.split()[0]), Verb(verb), cell)
    for row in VERBS.strip().splitlines()[1:]
    for verb, cell in zip(VERBS.split()[:6], row.split()[1:], strict=True)
]


@pytest.mark.parametrize(("phase", "verb", "answer"), CELLS, ids=[f"{p}-{v}" for p, v, _ in CELLS])
def test_an_operator_may_or_may_not(phase: Phase, verb: Verb, answer: str) -> None:
    """Every act in every phase: done, or refused with a code for programs and the phase for people."""
    state = state_in(phase)
    command = Command(verb, "so it is", canary="v3", rollout_id="r2")
    if answer == "yes":
        decision = execute(state, command, NOW)
        assert decision.reason.startswith("so it is")
        assert decision.state.rollout
        assert decision.state.rollout.phase is not phase or verb is Verb.START
        return
    with pytest.raises(Refusal) as refused:
        execute(state, command, NOW)
    assert refused.value.code is CODES[answer]
    assert phase is Phase.IDLE or str(phase) in refused.value.message


def test_every_phase_and_verb_is_in_the_table() -> None:
    """But for those of the fallback, which depend on no phase."""
    assert {(p, v) for p, v, _ in CELLS} == {
        (p, v) for p in Phase for v in Verb if v not in (Verb.DIVERT, Verb.RESTORE)
    }


MEANT = [
    (Verb.APPROVE, "v2", 5000, None),
    (Verb.APPROVE, "", 5000, None),
    (Verb.APPROVE, "v2", 0, None),
    (Verb.APPROVE, "v2", 2500, "25% was approved, and scorer asks for 50% now"),
    (Verb.APPROVE, "v3", 5000, "approve was meant for v3, and the rollout of scorer is v2's now"),
    (Verb.PROMOTE, "v2", 0, None),
    (Verb.PROMOTE, "v3", 0, "promote was meant for v3, and the rollout of scorer is v2's now"),
    (Verb.PAUSE, "v3", 0, "pause was meant for v3, and the rollout of scorer is v2's now"),
]


@pytest.mark.proves("track-record 52")
@pytest.mark.parametrize(("verb", "canary", "weight", "told"), MEANT)
def test_what_was_said_to_another_canary_or_share_is_refused(
    verb: Verb, canary: str, weight: int, told: str | None
) -> None:
    """A yes that comes late is a yes to nothing else: what happened meanwhile is told."""
    state = state_in(Phase.AWAITING_APPROVAL)
    command = Command(verb, "yes", expected_canary=canary, weight=weight)
    if told is None:
        assert execute(state, command, NOW).state != state
        return
    with pytest.raises(Refusal) as refused:
        execute(state, command, NOW)
    assert (refused.value.code, refused.value.message) == (Code.CONFLICT, told)


@pytest.mark.parametrize(
    ("verb", "words", "field"),
    [
        (Verb.PROMOTE, {"weight": 5000}, "weight"),
        (Verb.PAUSE, {"weight": 5000}, "weight"),
        (Verb.DIVERT, {"expected_canary": "v2"}, "canary"),
        (Verb.RESTORE, {"expected_canary": "v2"}, "canary"),
    ],
)
def test_what_nobody_would_compare_is_refused(verb: Verb, words: Mapping[str, Any], field: str) -> None:
    """A condition that the act does not know is an error, and not silently no condition."""
    with pytest.raises(Refusal) as refused:
        execute(state_in(Phase.PROGRESSING), Command(verb, "yes", **words), NOW)
    assert [violation.field for violation in refused.value.violations] == [field]


MOVES = [
    (Verb.START, Phase.PROMOTED, Act.ADVANCE, {"v3": 500, "v2": 9500}),
    (Verb.START, Phase.ROLLED_BACK, Act.ADVANCE, {"v3": 500, "v1": 9500}),
    (Verb.START, Phase.PROGRESSING, Act.ADVANCE, {"v3": 500, "v1": 9500}),
    (Verb.PAUSE, Phase.PROGRESSING, Act.RECORD, {"v2": 2500, "v1": 7500}),
    (Verb.RESUME, Phase.PAUSED, Act.ADVANCE, {"v2": 2500, "v1": 7500}),
    (Verb.APPROVE, Phase.AWAITING_APPROVAL, Act.ADVANCE, {"v2": 5000, "v1": 5000}),
    (Verb.PROMOTE, Phase.PROGRESSING, Act.ADVANCE, {"v2": 9500, "v1": 500}),
    (Verb.PROMOTE, Phase.BAKING, Act.ADVANCE, {"v2": TOTAL_WEIGHT, "v1": 0}),
    *(
        (Verb.ROLLBACK, phase, Act.ROLLBACK, {"v2": 0, "v1": TOTAL_WEIGHT})
        for phase in (*sorted(JUDGED), Phase.PROMOTED)
    ),
]


@pytest.mark.parametrize(("verb", "phase", "act", "weights"), MOVES, ids=[f"{m[0]}-{m[1]}" for m in MOVES])
def test_what_an_act_does_to_the_weights(verb: Verb, phase: Phase, act: Act, weights: dict[str, int]) -> None:
    """And as what it counts when a freeze is in force."""
    decision = execute(state_in(phase), Command(verb, "", canary="v3", rollout_id="r2"), NOW)
    assert (decision.act, decision.state.weights) == (act, weights)


def test_an_approval_of_the_last_step_promotes() -> None:
    """`approve: [100%]` is a person's word on promotion."""
    state = state_in(Phase.AWAITING_APPROVAL, LAST)
    assert execute(state, Command(Verb.APPROVE, ""), NOW).state.weights == {"v2": 9500, "v1": 500}


def test_promotion_makes_the_canary_stable_and_a_rollback_after_it_takes_that_back() -> None:
    """The old version is still warm."""
    promoted = execute(state_in(Phase.BAKING), Command(Verb.PROMOTE, ""), NOW).state
    assert promoted.stable == "v2"
    assert execute(promoted, Command(Verb.ROLLBACK, ""), NOW).state.stable == "v1"


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.ROLLED_BACK, Phase.PROMOTED])
def test_a_start_is_a_new_rollout_from_the_first_step(phase: Phase) -> None:
    """With the policy as it is declared now, and nothing of the one before."""
    state = state_in(phase)
    policy = POLICY.model_copy(update={"steps": (100, 9000)})
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"policy": policy})})
    rollout = execute(state, Command(Verb.START, "", canary="v3", rollout_id="r2"), NOW).state.rollout
    assert rollout
    assert (rollout.id, rollout.canary, rollout.stable) == ("r2", "v3", state.stable)
    assert (rollout.phase, rollout.step, rollout.weight, rollout.policy) == (Phase.WARMING, 0, 100, policy)
    assert (rollout.started_at, rollout.suppressed, rollout.paused_in) == (NOW, (), None)


def test_a_pause_in_the_bake_is_no_way_around_it() -> None:
    """Neither in the bake nor in a pause of it: all traffic is on the canary, and a start would move it away."""
    paused = execute(state_in(Phase.BAKING), Command(Verb.PAUSE, ""), NOW).state
    with pytest.raises(Refusal) as refused:
        execute(paused, Command(Verb.START, "", canary="v3", rollout_id="r2"), NOW)
    assert refused.value.code is Code.ALREADY_RUNNING


@pytest.mark.proves("track-record 35")
def test_a_promote_in_a_paused_bake_ends_the_bake() -> None:
    """As it does in the bake; the bake does not start again."""
    paused = execute(state_in(Phase.BAKING), Command(Verb.PAUSE, ""), NOW).state
    promoted = execute(paused, Command(Verb.PROMOTE, "good enough"), NOW).state
    assert promoted.rollout
    assert (promoted.rollout.phase, promoted.stable) == (Phase.PROMOTED, "v2")


def test_a_pause_while_promoting_is_no_second_promotion() -> None:
    """What is under way is all that can be; a resume goes on with it, a rollback takes it back."""
    paused = execute(state_in(Phase.PROMOTING), Command(Verb.PAUSE, ""), NOW).state
    with pytest.raises(Refusal) as refused:
        execute(paused, Command(Verb.PROMOTE, ""), NOW)
    assert refused.value.code is Code.NOT_POSSIBLE
    resumed = execute(paused, Command(Verb.RESUME, ""), NOW).state.rollout
    assert resumed
    assert resumed.phase is Phase.PROMOTING
    assert execute(paused, Command(Verb.ROLLBACK, ""), NOW).state.weights == {"v2": 0, "v1": TOTAL_WEIGHT}


@pytest.mark.parametrize("phase", [*sorted(JUDGED), Phase.PROMOTED])
def test_no_rollback_to_an_unhealthy_stable_but_by_force(phase: Phase) -> None:
    """Stable has no healthy endpoint: the traffic stays, by an operator's word too, unless he insists."""
    with pytest.raises(Refusal) as refused:
        execute(state_in(phase), Command(Verb.ROLLBACK, "now"), NOW, stable_has_no_upstream=True)
    assert refused.value.code is Code.NO_ENDPOINTS
    assert "v1 has no healthy endpoint" in refused.value.message
    forced = execute(state_in(phase), Command(Verb.ROLLBACK, "now", force=True), NOW, stable_has_no_upstream=True)
    assert forced.state.weights == {"v2": 0, "v1": TOTAL_WEIGHT}


def test_a_canary_whose_names_are_not_resolved_starts_without_weight_and_is_not_promoted() -> None:
    """No command sends traffic to where a proxy knows no endpoint; once it has weight, the operator decides."""
    start = Command(Verb.START, "", canary="v2", rollout_id="r2")
    waiting = execute(state_in(Phase.IDLE), start, NOW, canary_lacks_upstream=True).state
    assert waiting.weights == {"v2": 0, "v1": TOTAL_WEIGHT}
    with pytest.raises(Refusal) as refused:
        execute(waiting, Command(Verb.PROMOTE, ""), NOW, canary_lacks_upstream=True)
    assert refused.value.code is Code.NO_ENDPOINTS
    running = execute(state_in(Phase.IDLE), start, NOW).state
    assert running.weights["v2"]
    assert execute(running, Command(Verb.PROMOTE, ""), NOW, canary_lacks_upstream=True).state.weights["v2"] == 9500


def test_what_moves_no_traffic_goes_into_no_void() -> None:
    """A rollout that waits for its hooks carries none: it may be rolled back whatever stable is like."""
    state = state_in(Phase.IDLE, POLICY.model_copy(update={"hooks": ("gate",)}))
    waiting = execute(state, Command(Verb.START, "", canary="v2", rollout_id="r2"), NOW).state
    assert execute(waiting, Command(Verb.ROLLBACK, ""), NOW, stable_has_no_upstream=True).state.rollout


def test_a_version_that_was_rolled_back_may_be_started_again() -> None:
    """Final until an operator says otherwise."""
    assert execute(
        state_in(Phase.ROLLED_BACK), Command(Verb.START, "", canary="v2", rollout_id="r2"), NOW
    ).state.rollout


BAD_STARTS = [
    ("unknown", Phase.ROLLED_BACK, "v9", Code.INVALID, "has no version 'v9'; it has v1, v2, v3, v4"),
    ("the stable", Phase.ROLLED_BACK, "v1", Code.INVALID, "v1 is the stable"),
    ("the promoted one", Phase.PROMOTED, "v2", Code.INVALID, "v2 is the stable"),
    ("without endpoints", Phase.ROLLED_BACK, "v4", Code.NO_ENDPOINTS, "v4 of scorer has no endpoints"),
    ("the one that runs", Phase.PROGRESSING, "v2", Code.ALREADY_RUNNING, "v2 is PROGRESSING"),
    ("while another is promoted", Phase.PROMOTING, "v3", Code.ALREADY_RUNNING, "v2 is PROMOTING"),
]


@pytest.mark.parametrize(
    ("phase", "canary", "code", "told"), [b[1:] for b in BAD_STARTS], ids=[b[0] for b in BAD_STARTS]
)
def test_a_start_that_cannot_be_right_is_refused(phase: Phase, canary: str, code: Code, told: str) -> None:
    """With what is wrong, and what there is instead."""
    with pytest.raises(Refusal) as refused:
        execute(state_in(phase), Command(Verb.START, "", canary=canary), NOW)
    assert refused.value.code is code
    assert told in refused.value.message


@pytest.mark.parametrize("phase", sorted(JUDGED))
def test_a_forced_rollback_goes_through_everything(phase: Phase) -> None:
    """It counts as the one act that no freeze stops."""
    decision = execute(state_in(phase), Command(Verb.ROLLBACK, "now", force=True), NOW)
    assert decision.act is Act.FORCED_ROLLBACK
    assert all(blocking_freeze(held, "scorer", decision.act) is None for held in (FREEZE, HOLD))


def test_no_rollback_to_a_version_that_has_no_servers_any_more() -> None:
    """Not even by force: there is no one to answer."""
    state = state_in(Phase.PROMOTED)
    spec = state.spec.model_copy(update={"versions": state.spec.versions[1:]})
    with pytest.raises(Refusal) as refused:
        execute(state.model_copy(update={"spec": spec}), Command(Verb.ROLLBACK, "now", force=True), NOW)
    assert refused.value.code is Code.NO_ENDPOINTS


class TestOperatorsFallback:
    """Sending all traffic to the declared fallback, and taking it back."""

    def state(self, phase: Phase | None, fallback: Fallback | None) -> ServiceState:
        state = state_in(phase)
        return state.model_copy(update={"spec": state.spec.model_copy(update={"fallback": fallback})})

    @pytest.mark.parametrize("phase", sorted(Phase))
    def test_all_traffic_goes_there_and_a_running_rollout_is_rolled_back(self, phase: Phase) -> None:
        """In every phase; what was over stays as it was."""
        state = self.state(phase, Fallback(version="v3"))
        decision = execute(state, Command(Verb.DIVERT, "fire"), NOW)
        assert (decision.act, decision.state.weights, decision.state.diverted) == (
            Act.FALLBACK,
            {"v3": TOTAL_WEIGHT},
            "fire",
        )
        rollout = decision.state.rollout
        assert rollout is None or (rollout.phase is Phase.ROLLING_BACK) == (phase in RUNNING)
        back = execute(decision.state, Command(Verb.RESTORE, "out"), NOW).state
        assert back.weights[state.stable] == TOTAL_WEIGHT

    def test_a_fixed_response_needs_no_server(self) -> None:
        """The proxies answer by themselves."""
        decision = execute(self.state(None, Fallback(status=503, body="later")), Command(Verb.DIVERT, ""), NOW)
        assert decision.state.weights == {FIXED_RESPONSE: TOTAL_WEIGHT}

    @pytest.mark.parametrize(
        ("verb", "fallback", "diverted", "code"),
        [
            (Verb.DIVERT, None, "", Code.NOT_POSSIBLE),
            (Verb.DIVERT, Fallback(version="v3"), "fire", Code.NOT_POSSIBLE),
            (Verb.DIVERT, Fallback(version="v4"), "", Code.NO_ENDPOINTS),
            (Verb.DIVERT, Fallback(version="v9"), "", Code.NO_ENDPOINTS),
            (Verb.RESTORE, Fallback(version="v3"), "", Code.NOT_POSSIBLE),
            (Verb.START, Fallback(version="v3"), "fire", Code.NOT_POSSIBLE),
        ],
    )
    def test_what_cannot_be_is_refused(self, verb: Verb, fallback: Fallback | None, diverted: str, code: Code) -> None:
        """None declared, there already, no one there to answer; and no start before the traffic is back."""
        state = self.state(None, fallback).model_copy(update={"diverted": diverted})
        with pytest.raises(Refusal) as refused:
            execute(state, Command(verb, "", canary="v2", rollout_id="r2"), NOW)
        assert refused.value.code is code
