"""What automation decides on a verdict: a table over every phase."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.control.automation import CONFIRM_WITHIN, decide, decide_fallback
from controller.core.control.blocker import BlockerKind
from controller.core.control.decision import Decision
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, ReasonCode
from controller.core.model.freeze import Act, blocking_freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Phase
from controller.core.model.service import Fallback
from tests.builders import FREEZE, HOLD, LAST, POLICY, freeze, situation, state_in, verdict

pytestmark = pytest.mark.proves("track-record 4")

NOW = 500.0
ASKED = POLICY.model_copy(update={"approve": (5000,)})
TIRED = {way: POLICY.model_copy(update={"on_insufficient": way}) for way in ("hold", "advance", "rollback")}
BEHIND, REFUSED, NOBODY, ONE, LATE = Sync(1, 2), Sync(2, 2, ("edge-1",)), Sync(0, 0), Sync(1, 1), Sync(0, 1)


@dataclass(frozen=True)
class Row:
    """A situation and what is decided in it: kind, act, phase and the canary's weight after it, and the reason."""

    name: str
    phase: Phase
    knows: dict[str, Any]
    kind: LedgerKind | None
    after: tuple[Act, Phase, int] | None = None
    why: str = ""
    policy: Any = field(default=POLICY)


UNKNOWN, HARM = {"outcome": Outcome.UNKNOWN}, {"outcome": Outcome.HARM}

LATE_REPORT = {**UNKNOWN, "code": ReasonCode.LATE_REPORT}
"""A report came late."""
INCIDENT = {**UNKNOWN, "code": ReasonCode.INCIDENT}
"""Stable has an incident itself."""
WAIT = None
"""The kind of a decision that changes nothing."""

ROWS = [
    # The warm-up.
    Row("not warm yet", Phase.WARMING, {"warm": False}, WAIT, why="5xx says pass"),
    Row("warm", Phase.WARMING, {}, LedgerKind.ROLLOUT_WARM, (Act.RECORD, Phase.PROGRESSING, 500)),
    Row("warm without proof", Phase.WARMING, UNKNOWN, LedgerKind.ROLLOUT_WARM, (Act.RECORD, Phase.PROGRESSING, 500)),
    Row(
        "warm while frozen",
        Phase.WARMING,
        {"freezes": FREEZE},
        LedgerKind.ROLLOUT_WARM,
        (Act.RECORD, Phase.PROGRESSING, 500),
    ),
    # The steps.
    Row(
        "passed",
        Phase.PROGRESSING,
        {},
        LedgerKind.STEP_ADVANCED,
        (Act.ADVANCE, Phase.PROGRESSING, 5000),
        "5xx says pass",
    ),
    Row("unknown", Phase.PROGRESSING, UNKNOWN, WAIT, why="5xx says unknown"),
    Row("the dwell is not over", Phase.PROGRESSING, {"observed": 59.9}, WAIT, why="0 s of the dwell at 25%"),
    Row("the dwell is just over", Phase.PROGRESSING, {"observed": 60.0}, LedgerKind.STEP_ADVANCED),
    Row("a proxy behind", Phase.PROGRESSING, {"sync": BEHIND}, WAIT, why="1 of 2 proxies are in sync"),
    Row("the only proxy behind", Phase.PROGRESSING, {"sync": LATE}, WAIT, why="0 of 1 proxy is in sync"),
    Row("half of them are enough", Phase.PROGRESSING, {"sync": BEHIND, "share": 0.5}, LedgerKind.STEP_ADVANCED),
    Row("a proxy refused", Phase.PROGRESSING, {"sync": REFUSED, "share": 0.1}, WAIT, why="NACKed by edge-1"),
    Row("no proxy", Phase.PROGRESSING, {"sync": NOBODY}, WAIT, why="no proxy is connected"),
    Row("frozen", Phase.PROGRESSING, {"freezes": FREEZE}, WAIT, why="would advance, but all services are frozen"),
    Row("on hold", Phase.PROGRESSING, {"freezes": HOLD}, WAIT, why="would advance, but all services are on hold"),
    Row(
        "past the last step",
        Phase.PROGRESSING,
        {},
        LedgerKind.PROMOTION_STARTED,
        (Act.ADVANCE, Phase.PROMOTING, 9500),
        policy=LAST,
    ),
    Row(
        "a person must say yes",
        Phase.PROGRESSING,
        {},
        LedgerKind.APPROVAL_NEEDED,
        (Act.RECORD, Phase.AWAITING_APPROVAL, 2500),
        "50% needs a person's approval",
        ASKED,
    ),
    Row("waiting for the yes", Phase.AWAITING_APPROVAL, {}, WAIT, why="50% needs a person's approval"),
    Row("paused", Phase.PAUSED, {}, WAIT, why="paused: PAUSE"),
    # The deadline.
    Row("late: hold", Phase.PROGRESSING, {**UNKNOWN, "total": 3600.0}, WAIT, policy=TIRED["hold"]),
    Row(
        "late: advance",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0},
        LedgerKind.STEP_ADVANCED,
        policy=TIRED["advance"],
    ),
    Row("not late yet", Phase.PROGRESSING, {**UNKNOWN, "total": 3599.0}, WAIT, policy=TIRED["advance"]),
    Row(
        "late and blind: no advance",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "blind": True},
        WAIT,
        policy=TIRED["advance"],
    ),
    Row(
        "late: rollback",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "observed": 0.0},
        LedgerKind.ROLLBACK,
        (Act.ROLLBACK, Phase.ROLLING_BACK, 0),
        "no proof by the deadline of 1h",
        TIRED["rollback"],
    ),
    Row(
        "late: rollback, frozen",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "freezes": FREEZE},
        LedgerKind.ROLLBACK_SUPPRESSED,
        (Act.RECORD, Phase.PROGRESSING, 2500),
        policy=TIRED["rollback"],
    ),
    Row(
        "late: rollback, into a void",
        Phase.PROGRESSING,
        {**UNKNOWN, "total": 3600.0, "unroutable": True},
        LedgerKind.NO_HEALTHY_UPSTREAM,
        (Act.RECORD, Phase.PROGRESSING, 2500),
        policy=TIRED["rollback"],
    ),
    Row("late but passed", Phase.PROGRESSING, {"total": 9e9}, LedgerKind.STEP_ADVANCED, policy=TIRED["rollback"]),
    # Promotion and bake.
    Row("promoted everywhere", Phase.PROMOTING, {}, LedgerKind.BAKE_STARTED, (Act.RECORD, Phase.BAKING, 9500)),
    Row(
        "promoted everywhere but one",
        Phase.PROMOTING,
        {"sync": BEHIND, "share": 0.5},
        LedgerKind.BAKE_STARTED,
        why="1 of 2 proxies",
    ),
    Row(
        "promoted at the one proxy",
        Phase.PROMOTING,
        {"sync": ONE},
        LedgerKind.BAKE_STARTED,
        why="the one connected proxy serves v2 at 95%",
    ),
    Row("not everywhere", Phase.PROMOTING, {"sync": BEHIND}, WAIT, why="1 of 2 proxies are in sync"),
    Row("promoting while frozen", Phase.PROMOTING, {"freezes": FREEZE}, LedgerKind.BAKE_STARTED),
    Row("in the bake", Phase.BAKING, {"observed": 899.0}, WAIT, why="1 s of the bake are left"),
    Row(
        "baked",
        Phase.BAKING,
        {},
        LedgerKind.PROMOTED,
        (Act.ADVANCE, Phase.PROMOTED, TOTAL_WEIGHT),
        "no harm seen in 15m of bake",
    ),
    Row("baked in an incident of stable's", Phase.BAKING, INCIDENT, LedgerKind.PROMOTED),
    Row("baked while harm is suspected", Phase.BAKING, UNKNOWN, WAIT, why="the bake goes on: 5xx says unknown"),
    Row("baked, but a report was late", Phase.BAKING, LATE_REPORT, WAIT, why="the bake goes on: late_report says"),
    Row("baked while frozen", Phase.BAKING, {"freezes": FREEZE}, WAIT, why="would end the bake, but all"),
    # The way back.
    Row("back everywhere", Phase.ROLLING_BACK, {}, LedgerKind.ROLLED_BACK, (Act.RECORD, Phase.ROLLED_BACK, 0), "all 2"),
    Row("not yet", Phase.ROLLING_BACK, {"sync": BEHIND, "elapsed": CONFIRM_WITHIN - 0.1}, WAIT, why="1 of 2"),
    Row(
        "the one not yet",
        Phase.ROLLING_BACK,
        {"sync": LATE, "elapsed": 1.0},
        WAIT,
        why="0 of 1 proxy has confirmed",
    ),
    Row(
        "the one not within its time",
        Phase.ROLLING_BACK,
        {"sync": LATE, "elapsed": CONFIRM_WITHIN},
        LedgerKind.ROLLED_BACK,
        why="1 of 1 proxy has not confirmed within 10 s",
    ),
    Row(
        "not within its time",
        Phase.ROLLING_BACK,
        {"sync": BEHIND, "elapsed": CONFIRM_WITHIN},
        LedgerKind.ROLLED_BACK,
        (Act.RECORD, Phase.ROLLED_BACK, 0),
        "1 of 2 proxies have not confirmed within 10 s",
    ),
    Row(
        "back at the one proxy",
        Phase.ROLLING_BACK,
        {"sync": ONE},
        LedgerKind.ROLLED_BACK,
        why="the one connected proxy serves",
    ),
    Row(
        "back with nobody there",
        Phase.ROLLING_BACK,
        {"sync": NOBODY},
        LedgerKind.ROLLED_BACK,
        why="no proxy is connected",
    ),
    Row("back while harm is still seen", Phase.ROLLING_BACK, HARM, LedgerKind.ROLLED_BACK),
    Row("back while frozen", Phase.ROLLING_BACK, {"freezes": FREEZE}, LedgerKind.ROLLED_BACK),
    # Over.
    Row("promoted", Phase.PROMOTED, HARM, WAIT, why="no rollout is running"),
    Row("rolled back", Phase.ROLLED_BACK, {}, WAIT, why="no rollout is running"),
]


BLOCKERS = {
    "not warm yet": BlockerKind.WARM_UP,
    "unknown": BlockerKind.EVIDENCE,
    "the dwell is not over": BlockerKind.DWELL,
    "a proxy behind": BlockerKind.SYNC,
    "a proxy refused": BlockerKind.NACK,
    "no proxy": BlockerKind.SYNC,
    "frozen": BlockerKind.FREEZE,
    "on hold": BlockerKind.FREEZE,
    "waiting for the yes": BlockerKind.APPROVAL,
    "paused": BlockerKind.PAUSE,
    "late: hold": BlockerKind.DEADLINE,
    "not late yet": BlockerKind.EVIDENCE,
    "not everywhere": BlockerKind.SYNC,
    "in the bake": BlockerKind.BAKE,
    "baked while harm is suspected": BlockerKind.SUSPICION,
    "baked, but a report was late": BlockerKind.SUSPICION,
    "baked while frozen": BlockerKind.FREEZE,
    "not yet": BlockerKind.SYNC,
    "promoted": BlockerKind.NO_ROLLOUT,
}
"""What blocks, by the row's name."""


@pytest.mark.proves("track-record 59")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_automation_decides(row: Row) -> None:
    """One tick in each situation: what is decided, what blocks, what it does to the weight, and what it says."""
    state = state_in(row.phase, row.policy)
    decision = decide(state, situation(**row.knows), NOW)
    assert (decision.kind, row.why in decision.reason) == (row.kind, True), decision.reason
    if decision.waits:
        assert decision.state == state
        assert decision.blocker
    if row.name in BLOCKERS:
        assert decision.blocker
        assert decision.blocker.kind is BLOCKERS[row.name]
    if row.after:
        rollout = decision.state.rollout
        assert rollout
        assert (decision.act, rollout.phase, rollout.weight) == row.after


@pytest.mark.parametrize("phase", sorted(JUDGED))
class TestHarm:
    """Harm in every phase in which there is something to roll back."""

    @pytest.mark.parametrize(
        "sync", [Sync(2, 2), BEHIND, REFUSED, NOBODY], ids=["in sync", "behind", "refused", "none"]
    )
    def test_it_is_taken_back_at_once(self, phase: Phase, sync: Sync) -> None:
        """It waits for no dwell, no proxy, no approval and no end of a pause."""
        decision = decide(state_in(phase), situation(Outcome.HARM, observed=0.0, sync=sync), NOW)
        assert (decision.kind, decision.act, decision.reason) == (LedgerKind.ROLLBACK, Act.ROLLBACK, "5xx says harm")
        assert decision.state.weights == {"v2": 0, "v1": TOTAL_WEIGHT}
        assert decision.state.stable == "v1"

    def test_a_hold_does_not_stop_it(self, phase: Phase) -> None:
        """Hold means no advance."""
        assert decide(state_in(phase), situation(Outcome.HARM, freezes=HOLD), NOW).kind is LedgerKind.ROLLBACK

    def test_a_freeze_suppresses_it_and_says_so_once_for_each_cause(self, phase: Phase) -> None:
        """The weight stays; one line for the cause, one more for another cause or another freeze, then silence."""
        state, told = state_in(phase), []
        sights = [("5xx", 1.0), ("5xx", 1.0), ("latency_p99", 1.0), ("5xx", 1.0), ("5xx", 2.0)]
        for code, since in sights:
            knows = situation(Outcome.HARM, code=code, freezes=(freeze(since=since),))
            decision = decide(state, knows, NOW)
            assert decision.state.weights == state.weights
            told.append(decision.kind)
            state = decision.state
        say, hush = LedgerKind.ROLLBACK_SUPPRESSED, WAIT
        assert told == [say, hush, say, hush, say]

    def test_when_the_freeze_is_over_it_is_taken_back(self, phase: Phase) -> None:
        """What is due happens on the first look after it, if there is still harm."""
        state = decide(state_in(phase), situation(Outcome.HARM, freezes=FREEZE), NOW).state
        assert decide(state, situation(Outcome.HARM), NOW).kind is LedgerKind.ROLLBACK
        assert decide(state, situation(Outcome.UNKNOWN), NOW).kind is not LedgerKind.ROLLBACK

    @pytest.mark.proves("fault 29")
    def test_it_is_not_moved_into_a_void(self, phase: Phase) -> None:
        """Where stable has no healthy endpoint the traffic stays, and that is said once."""
        state = state_in(phase)
        decision = decide(state, situation(Outcome.HARM, unroutable=True), NOW)
        assert (decision.kind, decision.act, decision.state.weights) == (
            LedgerKind.NO_HEALTHY_UPSTREAM,
            Act.RECORD,
            state.weights,
        )
        assert decision.reason == "not rolled back: v1 has no healthy endpoint: 5xx says harm"
        blocker = decision.blocker
        assert blocker
        assert (blocker.kind, blocker.stops, blocker.names) == (
            BlockerKind.NO_HEALTHY_UPSTREAM,
            LedgerKind.ROLLBACK,
            ("v1",),
        )
        assert decide(decision.state, situation(Outcome.HARM, unroutable=True), NOW).kind is WAIT


def test_with_hooks_it_begins_only_when_it_may() -> None:
    """A rollout that waits for its hooks has no weight; it begins unless a freeze is in force."""
    state = state_in(Phase.WARMING, POLICY.model_copy(update={"hooks": ("gate",)}))
    decision = decide(state, situation(Outcome.UNKNOWN, warm=False), NOW)
    assert decision.state.weights == {"v2": 500, "v1": 9500}
    assert decision.act is Act.ADVANCE
    for held in (FREEZE, HOLD):
        assert "would begin, but" in decide(state, situation(freezes=held), NOW).reason


def test_a_canary_whose_names_are_not_resolved_gets_no_weight() -> None:
    """It waits, and says so, however long; for a first report ten seconds, since some proxies report nothing."""
    state = state_in(Phase.WARMING, POLICY.model_copy(update={"hooks": ("gate",)}))
    waiting = decide(state, situation(warm=False)._replace(canary_lacks_upstream=True), NOW)
    assert waiting.waits
    assert waiting.reason.startswith("would begin, but a proxy has no healthy endpoint of v2")
    for elapsed, kind in ((9.0, None), (10.0, LedgerKind.STEP_ADVANCED)):
        unknown = situation(warm=False, elapsed=elapsed)._replace(canary_lacks_upstream=None)
        assert decide(state, unknown, NOW).kind is kind
    assert decide(state, situation(warm=False), NOW).kind is LedgerKind.STEP_ADVANCED


class TestFallback:
    """What automation does when stable itself breaks its absolute limits."""

    AUTOMATIC = POLICY.model_copy(update={"fallback": "automatic"})

    def decided(self, policy: Any, outcome: Outcome, freezes: Any = (), **fields: Any) -> Decision:
        state = state_in(Phase.PROMOTED, policy)
        spec = state.spec.model_copy(update={"fallback": fields.pop("fallback", Fallback(version="v3"))})
        unroutable = fields.pop("unroutable", False)
        state = state.model_copy(update={"spec": spec, **fields})
        return decide_fallback(
            state,
            verdict(outcome),
            lambda act: blocking_freeze(freezes, "scorer", act),
            NOW,
            fallback_has_no_upstream=unroutable,
        )

    def test_it_sends_all_traffic_to_the_fallback(self) -> None:
        """Only where the policy says automatic."""
        decision = self.decided(self.AUTOMATIC, Outcome.HARM)
        assert (decision.kind, decision.act) == (LedgerKind.FALLBACK_ON, Act.FALLBACK)
        assert decision.state.weights == {"v3": TOTAL_WEIGHT}

    @pytest.mark.parametrize(
        ("policy", "outcome", "fields"),
        [
            (POLICY, Outcome.HARM, {}),
            (AUTOMATIC, Outcome.UNKNOWN, {}),
            (AUTOMATIC, Outcome.PASS, {}),
            (AUTOMATIC, Outcome.HARM, {"fallback": None}),
            (AUTOMATIC, Outcome.HARM, {"diverted": "already"}),
            (AUTOMATIC, Outcome.HARM, {"freezes": FREEZE}),
            (AUTOMATIC, Outcome.HARM, {"unroutable": True}),
        ],
        ids=["manual", "unknown", "healthy", "none declared", "there already", "frozen", "nobody there"],
    )
    def test_otherwise_it_stays(self, policy: Any, outcome: Outcome, fields: dict[str, Any]) -> None:
        """Nothing moves without the policy's word, harm, a fallback, and no freeze."""
        assert self.decided(policy, outcome, **fields).waits
