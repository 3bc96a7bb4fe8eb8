"""A rollout that is over, judged again by another policy: would it have been taken back, and when?

The windows are those that were really seen, at the weights that were really served. So what another policy would have
decided first is exact; what would have come after a decision that was not taken in truth is not known, since the
canary's share would have been another one. Persons and hooks are not played: they say yes at once. Custom metrics are
not recorded, so they are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.core.commands import Command, Verb, obey
from controller.core.decision import Kind
from controller.core.rollout import JUDGED, Phase
from controller.core.session import Session, Surroundings, entered, tick
from controller.core.spec import Endpoint, Listen, Policy, Service, Version
from controller.core.tape import Record, replayed
from controller.core.trace import point_of
from controller.core.verdict import Verdict, Window
from controller.core.view import ServiceState

_ALONE = Surroundings()
_NOWHERE = (Endpoint(host="127.0.0.1", port=1),)


@dataclass(frozen=True, slots=True)
class Turn:
    """A decision of the other policy, on the window that ended at `time` (seconds of observation) and `wall`.

    `served` is the canary's weight that was really served then, `weight` the one that the policy would go on with.
    """

    time: float
    wall: float
    kind: Kind
    why: str
    served: int
    weight: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Backtest:
    """What came of it. `peaks` is the most evidence of harm that each channel ever had, `peak` that of them all."""

    turns: tuple[Turn, ...]
    phase: Phase
    limit: float
    peak: float
    peaks: dict[str, float]
    windows: int

    @property
    def rollback(self) -> Turn | None:
        """When it would have been taken back, if it would have been."""
        return next((turn for turn in self.turns if turn.kind is Kind.ROLLBACK), None)


def judge_again(policy: Policy, stable: str, canary: str, records: Iterable[Record]) -> Backtest:
    """Judge what was recorded by this policy, up to its rollback or promotion or the end of the record."""
    state = _started(policy, stable, canary)
    session, turns = Session.of(state), list[Turn]()
    peak, peaks, windows = 0.0, dict.fromkeys(session.evidence.harm, 0.0), 0
    for record, window in replayed(iter(records)):
        windows += window.stable is not None or window.canary is not None
        while state.rollout and state.rollout.phase in JUDGED:
            session, verdict, decision = tick(state, session, window, _ALONE, record.wall)
            seen = point_of(policy, session.evidence, state.rollout.step, record.wall)
            peak = max(peak, seen.total)
            peaks = {name: max(highest, seen.harm[name]) for name, highest in peaks.items()}
            if decision.holds:
                break
            weight = decision.state.rollout.weight if decision.state.rollout else 0
            turns.append(Turn(window.at, record.wall, decision.kind, decision.reason, window.weight, weight, verdict))
            session, state = entered(session, decision.state), decision.state
            window = Window(window.at, window.weight, None, None)  # a decision is news: it is looked at once more
    phase = state.rollout.phase if state.rollout else Phase.IDLE
    return Backtest(tuple(turns), phase, 1 / policy.false_rollback, peak, peaks, windows)


def _started(policy: Policy, stable: str, canary: str) -> ServiceState:
    versions = tuple(Version(name=name, endpoints=_NOWHERE) for name in (stable, canary))
    unasked = policy.model_copy(update={"approve": (), "hooks": (), "metrics": ()})
    service = Service(name="backtest", listen=Listen(port=1), versions=versions, stable=stable, policy=unasked)
    command = Command(Verb.START, "judged again", canary=canary, rollout_id="backtest")
    return obey(ServiceState(spec=service, source="", stable=stable), command, 0.0).state
