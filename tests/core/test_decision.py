"""What automation decides on a verdict and what an operator's command does: tables over every phase."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.core.automation import CONFIRM_WITHIN, decide, decide_fallback
from controller.core.commands import Command, Verb, obey
from controller.core.decision import Decision, Kind, Sync
from controller.core.errors import Code, Refusal
from controller.core.guard import Act, Mode, blocking
from controller.core.rollout import JUDGED, RUNNING, Phase
from controller.core.spec import Fallback
from controller.core.units import PARTS
from controller.core.verdict import Outcome
from controller.core.view import FIXED_RESPONSE, ServiceState
from tests.core.values import POLICY, freeze, seen, state_in, verdict

NOW = 500.0
LAST = POLICY.model_copy(update={"steps": (500, 2500)})
"""A policy whose last step is the one that `state_in` reaches."""
ASKED = POLICY.model_copy(update={"approve": (5000,)})
TIRED = {way: POLICY.model_copy(update={"on_insufficient": way}) for way in ("hold", "advance", "rollback")}
BEHIND, REFUSED, NOBODY = Sync(1, 2), Sync(2, 2, ("edge-1",)), Sync(0, 0)


@dataclass(frozen=True)
class Row:
    """A situation and what is decided in it: kind, act, phase and the canary's weight after it, and the reason."""

    name: str
    phase: Phase
    knows: dict[str, Any]
    kind: Kind
    after: tuple[Act, Phase, int] | None = None
    why: str = ""
    policy: Any = field(default=POLICY)


FREEZE, HOLD = (freeze(),), (freeze(mode=Mode.HOLD),)
UNKNOWN, HARM = {"outcome": Outcome.UNKNOWN}, {"outcome": Outcome.HARM}

ROWS = [
    # The warm-up.
    Row("not warm yet", Phase.WARMING, {"warm": False}, Kind.HOLD, why="5xx says pass"),
    Row("warm", Phase.WARMING, {}, Kind.WARMED, (Act.RECORD, Phase.PROGRESSING, 500)),
    Row("warm without proof", Phase.WARMING, UNKNOWN, Kind.WARMED, (Act.RECORD, Phase.PROGRESSING, 500)),
    Row("warm while frozen", Phase.WARMING, {"freezes": FREEZE}, Kind.WARMED, (Act.RECORD, Phase.PROGRESSING, 500)),
    # The steps.
    Row("passed", Phase.PROGRESSING, {}, Kind.ADVANCED, (Act.ADVANCE, Phase.PROGRESSING, 5000), "5xx says pass"),
    Row("unknown", Phase.PROGRESSING, UNKNOWN, Kind.HOLD, why="5xx says unknown"),
    Row("the dwell is not over", Phase.PROGRESSING, {"observed": 59.9}, Kind.HOLD, why="0 s of the dwell at 25%"),
    Row("the dwell is just over", Phase.PROGRESSING, {"observed": 60.0}, Kind.ADVANCED),
    Row("a proxy behind", Phase.PROGRESSING, {"sync": BEHIND}, Kind.HOLD, why="1 of 2 proxies are in sync"),
    Row("half of them are enough", Phase.PROGRESSING, {"sync": BEHIND, "share": 0.5}, Kind.ADVANCED),
    Row("a proxy refused", Phase.PROGRESSING, {"sync": REFUSED, "share": 0.1}, Kind.HOLD, why="refused by edge-1"),
    Row("no proxy", Phase.PROGRESSING, {"sync": NOBODY}, Kind.HOLD, why="no proxy is connected"),
    Row("frozen", Phase.PROGRESSING, {"freezes": FREEZE}, Kind.HOLD, why="would advance, but all services are frozen"),
    Row("on hold", Phase.PROGRESSING, {"freezes": HOLD}, Kind.HOLD, why="would advance, but all services are on hold"),
    Row(
        "past the last step", Phase.PROGRESSING, {}, Kind.PROMOTING, (Act.ADVANCE, Phase.PROMOTING, PARTS), policy=LAST
    ),
    Row(
        "a person must say yes",
        Phase.PROGRESSING,
        {},
        Kind.APPROVAL_NEEDED,
        (Act.RECORD, Phase.AWAITING_APPROVAL, 2500),
        "50% needs a person's approval",
        ASKED,
    ),
    Row("waiting for the yes", Phase.AWAITING_APPROVAL, {}, Kind.HOLD, why="50% needs a person's approval"),
    Row("paused", Phase.PAUSED, {}, Kind.HOLD, why="paused: PAUSE"),
    # The deadline.
    Row("late: hold", Phase.PROGRESSING, {**UNKNOWN, "total": 3600.0}, Kind.HOLD, policy=TIRED["hold"]),
    Row("late: advance", Phase.PROGRESSING, {**UNKNOWN, "total": 3600.0}, Kind.ADVANCED, policy=TIRED["advance"]),
    Row("not late yet", Phase.PROGRESSING, {**UNKNOWN, "total": 3599.0}, Kind.HOLD, policy=TIRED["advance"]),
    Row(
        "late and blind: no advance",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "blind": True},
        Kind.HOLD,
        policy=TIRED["advance"],
    ),
    Row(
        "late: rollback",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "observed": 0.0},
        Kind.ROLLBACK,
        (Act.ROLLBACK, Phase.ROLLING_BACK, 0),
        "no proof by the deadline of 1h",
        TIRED["rollback"],
    ),
    Row(
        "late: rollback, frozen",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "freezes": FREEZE},
        Kind.SUPPRESSED,
        (Act.RECORD, Phase.PROGRESSING, 2500),
        policy=TIRED["rollback"],
    ),
    Row(
        "late: rollback, into a void",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "void": True},
        Kind.VOID,
        (Act.RECORD, Phase.PROGRESSING, 2500),
        policy=TIRED["rollback"],
    ),
    Row("late but passed", Phase.PROGRESSING, {"total": 9e9}, Kind.ADVANCED, policy=TIRED["rollback"]),
    # Promotion and bake.
    Row("promoted everywhere", Phase.PROMOTING, {}, Kind.BAKING, (Act.RECORD, Phase.BAKING, PARTS)),
    Row("not everywhere", Phase.PROMOTING, {"sync": BEHIND}, Kind.HOLD, why="1 of 2 proxies are in sync"),
    Row("promoting while frozen", Phase.PROMOTING, {"freezes": FREEZE}, Kind.BAKING),
    Row("in the bake", Phase.BAKING, {"observed": 899.0}, Kind.HOLD, why="1 s of the bake are left"),
    Row("baked", Phase.BAKING, {}, Kind.PROMOTED, (Act.ADVANCE, Phase.PROMOTED, PARTS), "no harm seen in 15m of bake"),
    Row("baked without proof", Phase.BAKING, UNKNOWN, Kind.PROMOTED),
    Row("baked while frozen", Phase.BAKING, {"freezes": FREEZE}, Kind.HOLD, why="would end the bake, but all"),
    # The way back.
    Row("back everywhere", Phase.ROLLING_BACK, {}, Kind.ROLLED_BACK, (Act.RECORD, Phase.ROLLED_BACK, 0), "all 2"),
    Row("not yet", Phase.ROLLING_BACK, {"sync": BEHIND, "elapsed": CONFIRM_WITHIN - 0.1}, Kind.HOLD, why="1 of 2"),
    Row(
        "not within its time",
        Phase.ROLLING_BACK,
        {"sync": BEHIND, "elapsed": CONFIRM_WITHIN},
        Kind.ROLLED_BACK,
        (Act.RECORD, Phase.ROLLED_BACK, 0),
        "1 of 2 proxies have not confirmed within 10 s",
    ),
    Row("back with nobody there", Phase.ROLLING_BACK, {"sync": NOBODY}, Kind.ROLLED_BACK),
    Row("back while harm is still seen", Phase.ROLLING_BACK, HARM, Kind.ROLLED_BACK),
    Row("back while frozen", Phase.ROLLING_BACK, {"freezes": FREEZE}, Kind.ROLLED_BACK),
    # Over.
    Row("promoted", Phase.PROMOTED, HARM, Kind.HOLD, why="no rollout is running"),
    Row("rolled back", Phase.ROLLED_BACK, {}, Kind.HOLD, why="no rollout is running"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_automation_decides(row: Row) -> None:
    """One look in each situation: what is decided, what it does to the weight, and what it says."""
    state = state_in(row.phase, row.policy)
    decision = decide(state, seen(**row.knows), NOW)
    assert (decision.kind, row.why in decision.reason) == (row.kind, True), decision.reason
    if decision.holds:
        assert decision.state == state
    if row.after:
        rollout = decision.state.rollout
        assert rollout
        assert (decision.act, rollout.phase, rollout.weight) == row.after


@pytest.mark.parametrize("phase", sorted(JUDGED))
class TestHarm:
    """Harm in every phase in which there is something to take back."""

    @pytest.mark.parametrize(
        "sync", [Sync(2, 2), BEHIND, REFUSED, NOBODY], ids=["in sync", "behind", "refused", "none"]
    )
    def test_it_is_taken_back_at_once(self, phase: Phase, sync: Sync) -> None:
        """It waits for no dwell, no proxy, no approval and no end of a pause."""
        decision = decide(state_in(phase), seen(Outcome.HARM, observed=0.0, sync=sync), NOW)
        assert (decision.kind, decision.act, decision.reason) == (Kind.ROLLBACK, Act.ROLLBACK, "5xx says harm")
        assert decision.state.weights == {"v2": 0, "v1": PARTS}
        assert decision.state.stable == "v1"

    def test_a_hold_does_not_stop_it(self, phase: Phase) -> None:
        """Hold means no advance."""
        assert decide(state_in(phase), seen(Outcome.HARM, freezes=HOLD), NOW).kind is Kind.ROLLBACK

    def test_a_freeze_suppresses_it_and_says_so_once_for_each_cause(self, phase: Phase) -> None:
        """The weight stays; one line for the cause, one more for another cause or another freeze, then silence."""
        state, told = state_in(phase), []
        sights = [("5xx", 1.0), ("5xx", 1.0), ("latency_p99", 1.0), ("5xx", 1.0), ("5xx", 2.0)]
        for code, since in sights:
            knows = seen(Outcome.HARM, code=code, freezes=(freeze(since=since),))
            decision = decide(state, knows, NOW)
            assert decision.state.weights == state.weights
            told.append(decision.kind)
            state = decision.state
        say, hush = Kind.SUPPRESSED, Kind.HOLD
        assert told == [say, hush, say, hush, say]

    def test_when_the_freeze_is_over_it_is_taken_back(self, phase: Phase) -> None:
        """What is due happens on the first look after it, if there is still harm."""
        state = decide(state_in(phase), seen(Outcome.HARM, freezes=FREEZE), NOW).state
        assert decide(state, seen(Outcome.HARM), NOW).kind is Kind.ROLLBACK
        assert decide(state, seen(Outcome.UNKNOWN), NOW).kind is not Kind.ROLLBACK

    def test_it_is_not_moved_into_a_void(self, phase: Phase) -> None:
        """Where stable has no healthy endpoint the traffic stays, and that is said once."""
        state = state_in(phase)
        decision = decide(state, seen(Outcome.HARM, void=True), NOW)
        assert (decision.kind, decision.act, decision.state.weights) == (Kind.VOID, Act.RECORD, state.weights)
        assert "--force" in decision.reason
        assert decide(decision.state, seen(Outcome.HARM, void=True), NOW).kind is Kind.HOLD


def test_with_hooks_it_begins_only_when_it_may() -> None:
    """A rollout that waits for its hooks has no weight; it begins unless a freeze is in force."""
    state = state_in(Phase.WARMING, POLICY.model_copy(update={"hooks": ("gate",)}))
    decision = decide(state, seen(Outcome.UNKNOWN, warm=False), NOW)
    assert decision.state.weights == {"v2": 500, "v1": 9500}
    assert decision.act is Act.ADVANCE
    for held in (FREEZE, HOLD):
        assert "would begin, but" in decide(state, seen(freezes=held), NOW).reason


class TestFallback:
    """What automation does when stable itself breaks its absolute limits."""

    AUTOMATIC = POLICY.model_copy(update={"fallback": "automatic"})

    def decided(self, policy: Any, outcome: Outcome, freezes: Any = (), **fields: Any) -> Decision:
        state = state_in(Phase.PROMOTED, policy)
        spec = state.spec.model_copy(update={"fallback": fields.pop("fallback", Fallback(version="v3"))})
        state = state.model_copy(update={"spec": spec, **fields})
        return decide_fallback(state, verdict(outcome), lambda act: blocking(freezes, "scorer", act), NOW)

    def test_it_sends_all_traffic_to_the_fallback(self) -> None:
        """Only where the policy says automatic."""
        decision = self.decided(self.AUTOMATIC, Outcome.HARM)
        assert (decision.kind, decision.act) == (Kind.DIVERTED, Act.FALLBACK)
        assert decision.state.weights == {"v3": PARTS}

    @pytest.mark.parametrize(
        ("policy", "outcome", "fields"),
        [
            (POLICY, Outcome.HARM, {}),
            (AUTOMATIC, Outcome.UNKNOWN, {}),
            (AUTOMATIC, Outcome.PASS, {}),
            (AUTOMATIC, Outcome.HARM, {"fallback": None}),
            (AUTOMATIC, Outcome.HARM, {"diverted": "already"}),
            (AUTOMATIC, Outcome.HARM, {"freezes": FREEZE}),
        ],
        ids=["manual", "unknown", "healthy", "none declared", "there already", "frozen"],
    )
    def test_otherwise_it_stays(self, policy: Any, outcome: Outcome, fields: dict[str, Any]) -> None:
        """Nothing moves without the policy's word, harm, a fallback, and no freeze."""
        assert self.decided(policy, outcome, **fields).holds


# Operators.

VERBS = """
                   start  pause  resume  approve  promote  rollback
IDLE               yes    NO     NO      NO       NO       NO
WARMING            yes    yes    not     not      yes      yes
PROGRESSING        yes    yes    not     not      yes      yes
PAUSED             yes    not    yes     not      yes      yes
AWAITING_APPROVAL  yes    yes    not     yes      yes      yes
PROMOTING          run    not    not     not      not      yes
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
        decision = obey(state, command, NOW)
        assert decision.reason.startswith("so it is")
        assert decision.state.rollout
        assert decision.state.rollout.phase is not phase or verb is Verb.START
        return
    with pytest.raises(Refusal) as refused:
        obey(state, command, NOW)
    assert refused.value.code is CODES[answer]
    assert phase is Phase.IDLE or str(phase) in refused.value.message


def test_every_phase_and_verb_is_in_the_table() -> None:
    """But for those of the fallback, which depend on no phase."""
    assert {(p, v) for p, v, _ in CELLS} == {
        (p, v) for p in Phase for v in Verb if v not in (Verb.DIVERT, Verb.RESTORE)
    }


MOVES = [
    (Verb.START, Phase.PROMOTED, Act.ADVANCE, {"v3": 500, "v2": 9500}),
    (Verb.START, Phase.ROLLED_BACK, Act.ADVANCE, {"v3": 500, "v1": 9500}),
    (Verb.START, Phase.PROGRESSING, Act.ADVANCE, {"v3": 500, "v1": 9500}),
    (Verb.PAUSE, Phase.PROGRESSING, Act.RECORD, {"v2": 2500, "v1": 7500}),
    (Verb.RESUME, Phase.PAUSED, Act.ADVANCE, {"v2": 2500, "v1": 7500}),
    (Verb.APPROVE, Phase.AWAITING_APPROVAL, Act.ADVANCE, {"v2": 5000, "v1": 5000}),
    (Verb.PROMOTE, Phase.PROGRESSING, Act.ADVANCE, {"v2": PARTS, "v1": 0}),
    (Verb.PROMOTE, Phase.BAKING, Act.ADVANCE, {"v2": PARTS, "v1": 0}),
    *((Verb.ROLLBACK, phase, Act.ROLLBACK, {"v2": 0, "v1": PARTS}) for phase in (*sorted(JUDGED), Phase.PROMOTED)),
]


@pytest.mark.parametrize(("verb", "phase", "act", "weights"), MOVES, ids=[f"{m[0]}-{m[1]}" for m in MOVES])
def test_what_an_act_does_to_the_weights(verb: Verb, phase: Phase, act: Act, weights: dict[str, int]) -> None:
    """And as what it counts when a freeze is in force."""
    decision = obey(state_in(phase), Command(verb, "", canary="v3", rollout_id="r2"), NOW)
    assert (decision.act, decision.state.weights) == (act, weights)


def test_an_approval_of_the_last_step_promotes() -> None:
    """`approve: [100%]` is a person's word on promotion."""
    state = state_in(Phase.AWAITING_APPROVAL, LAST)
    assert obey(state, Command(Verb.APPROVE, ""), NOW).state.weights == {"v2": PARTS, "v1": 0}


def test_promotion_makes_the_canary_stable_and_a_rollback_after_it_takes_that_back() -> None:
    """The old version is still warm."""
    promoted = obey(state_in(Phase.BAKING), Command(Verb.PROMOTE, ""), NOW).state
    assert promoted.stable == "v2"
    assert obey(promoted, Command(Verb.ROLLBACK, ""), NOW).state.stable == "v1"


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.ROLLED_BACK, Phase.PROMOTED])
def test_a_start_is_a_new_rollout_from_the_first_step(phase: Phase) -> None:
    """With the policy as it is declared now, and nothing of the one before."""
    state = state_in(phase)
    policy = POLICY.model_copy(update={"steps": (100, 9000)})
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"policy": policy})})
    rollout = obey(state, Command(Verb.START, "", canary="v3", rollout_id="r2"), NOW).state.rollout
    assert rollout
    assert (rollout.id, rollout.canary, rollout.stable) == ("r2", "v3", state.stable)
    assert (rollout.phase, rollout.step, rollout.weight, rollout.policy) == (Phase.WARMING, 0, 100, policy)
    assert (rollout.started_at, rollout.suppressed, rollout.paused_in) == (NOW, (), None)


def test_a_pause_in_the_bake_is_no_way_around_it() -> None:
    """Neither in the bake nor in a pause of it: all traffic is on the canary, and a start would move it away."""
    paused = obey(state_in(Phase.BAKING), Command(Verb.PAUSE, ""), NOW).state
    with pytest.raises(Refusal) as refused:
        obey(paused, Command(Verb.START, "", canary="v3", rollout_id="r2"), NOW)
    assert refused.value.code is Code.ALREADY_RUNNING


def test_a_version_that_was_rolled_back_may_be_started_again() -> None:
    """Final until an operator says otherwise."""
    assert obey(state_in(Phase.ROLLED_BACK), Command(Verb.START, "", canary="v2", rollout_id="r2"), NOW).state.rollout


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
        obey(state_in(phase), Command(Verb.START, "", canary=canary), NOW)
    assert refused.value.code is code
    assert told in refused.value.message


@pytest.mark.parametrize("phase", sorted(JUDGED))
def test_a_forced_rollback_goes_through_everything(phase: Phase) -> None:
    """It counts as the one act that no freeze stops."""
    decision = obey(state_in(phase), Command(Verb.ROLLBACK, "now", force=True), NOW)
    assert decision.act is Act.FORCED_ROLLBACK
    assert all(blocking(held, "scorer", decision.act) is None for held in (FREEZE, HOLD))


def test_no_rollback_to_a_version_that_has_no_servers_any_more() -> None:
    """Not even by force: there is nobody to answer."""
    state = state_in(Phase.PROMOTED)
    spec = state.spec.model_copy(update={"versions": state.spec.versions[1:]})
    with pytest.raises(Refusal) as refused:
        obey(state.model_copy(update={"spec": spec}), Command(Verb.ROLLBACK, "now", force=True), NOW)
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
        decision = obey(state, Command(Verb.DIVERT, "fire"), NOW)
        assert (decision.act, decision.state.weights, decision.state.diverted) == (Act.FALLBACK, {"v3": PARTS}, "fire")
        rollout = decision.state.rollout
        assert rollout is None or (rollout.phase is Phase.ROLLING_BACK) == (phase in RUNNING)
        back = obey(decision.state, Command(Verb.RESTORE, "out"), NOW).state
        assert back.weights[state.stable] == PARTS

    def test_a_fixed_response_needs_no_server(self) -> None:
        """The proxies answer by themselves."""
        decision = obey(self.state(None, Fallback(status=503, body="later")), Command(Verb.DIVERT, ""), NOW)
        assert decision.state.weights == {FIXED_RESPONSE: PARTS}

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
        """None declared, there already, nobody there to answer; and no start before the traffic is back."""
        state = self.state(None, fallback).model_copy(update={"diverted": diverted})
        with pytest.raises(Refusal) as refused:
            obey(state, Command(verb, "", canary="v2", rollout_id="r2"), NOW)
        assert refused.value.code is code
