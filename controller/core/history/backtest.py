"""A rollout that is over, judged again by another policy: would it have been rolled back, and when?

The windows are those that were really seen, at the weights that were really served. So what another
policy would have decided first is exact; what would have come after a decision that was not taken
in truth is not known, since the canary's share would have been another one. Persons and hooks are
not played: they say yes at once. A custom metric that the other policy names is judged by what was
read of it then; one that was not read then is left out, and named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision
from controller.core.control.session import Session, TickInputs, after_commit
from controller.core.control.tick import tick
from controller.core.history.evidence_trace import point_of
from controller.core.history.window_history import replay_windows
from controller.core.history.window_record import WindowRecord
from controller.core.judge.custom.custom_metrics import without_custom
from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Phase
from controller.core.model.service import Endpoint, Listen, Policy, Service, Version
from controller.core.model.service_state import ServiceState
from controller.core.traffic.window import Window

_ALONE = TickInputs()
_NOWHERE = (Endpoint(host="127.0.0.1", port=1),)


@dataclass(frozen=True, slots=True)
class BacktestDecision:
    """A decision of the other policy, on the window that ended at `time` (seconds of observation)
    and `wall`.

    `served` is the canary's weight that was really served then, `weight` the one that the policy
    would go on with.
    """

    time: float
    wall: float
    kind: LedgerKind
    why: str
    served: int
    weight: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Backtest:
    """What came of it. `peaks` is the most evidence of harm that each channel ever had, `peak` that
    of them all.

    `left_out` are the policy's custom metrics of which nothing is on record.
    """

    decisions: tuple[BacktestDecision, ...]
    phase: Phase
    limit: float
    peak: float
    peaks: dict[str, float]
    windows: int
    left_out: tuple[str, ...] = ()

    @property
    def rollback(self) -> BacktestDecision | None:
        """The rollback, if there would have been one."""
        return next((decision for decision in self.decisions if decision.kind is LedgerKind.ROLLBACK), None)


class BacktestTick(NamedTuple):
    """One tick of the other policy on a recorded window: the state before it, the session after it,
    the verdict and the decision."""

    record: WindowRecord
    window: Window
    state: ServiceState
    session: Session
    verdict: Verdict
    decision: Decision


def run_backtest(policy: Policy, stable: str, canary: str, records: Iterable[WindowRecord]) -> Backtest:
    """Judge what was recorded by this policy, up to its rollback or promotion or the end of the
    record."""
    records = tuple(records)
    judged, left_out = _with_recorded_metrics(policy, records)
    state, decisions = start_rollout(judged, stable, canary), list[BacktestDecision]()
    peak, peaks, windows = 0.0, dict[str, float](), set[float]()
    for record, window, before, session, verdict, decision in replay_ticks(state, records):
        assert before.rollout is not None
        state = decision.state
        if not record.silent:
            windows.add(record.at)
        point = point_of(judged, session.judge_state, session.custom, before.rollout.step, record.wall)
        peak = max(peak, point.total)
        peaks = {name: max(peaks.get(name, 0.0), evidence) for name, evidence in point.harm.items()}
        if decision.kind:
            weight = state.rollout.weight if state.rollout else 0
            decisions.append(
                BacktestDecision(window.at, record.wall, decision.kind, decision.reason, window.weight, weight, verdict)
            )
    phase = state.rollout.phase if state.rollout else Phase.IDLE
    return Backtest(
        decisions=tuple(decisions),
        phase=phase,
        limit=1 / judged.false_rollback,
        peak=peak,
        peaks=peaks,
        windows=len(windows),
        left_out=left_out,
    )


def replay_ticks(state: ServiceState, records: Iterable[WindowRecord]) -> Iterator[BacktestTick]:
    """Every tick on the recorded windows, from that state on, as long as there is something to judge."""
    session = Session.of(state)
    for record, window in replay_windows(records):
        while state.rollout and state.rollout.phase in JUDGED:
            session, verdict, decision = tick(state, session, window, _ALONE, record.wall)
            yield BacktestTick(record, window, state, session, verdict, decision)
            if decision.waits:
                break
            session, state = after_commit(session, decision.state, window.at), decision.state
            window = Window(window.at, window.weight, None, None)  # after a decision there is another tick


def _with_recorded_metrics(policy: Policy, records: Sequence[WindowRecord]) -> tuple[Policy, tuple[str, ...]]:
    """The policy with those of its custom metrics that are on record, and the names of the
    others."""
    recorded = {name for record in records for name in record.custom}
    left_out = tuple(metric.name for metric in policy.metrics if metric.name not in recorded)
    known = tuple(metric for metric in policy.metrics if metric.name in recorded)
    if policy.metrics and not known:
        return without_custom(policy), left_out
    return policy.model_copy(update={"metrics": known}), left_out


def start_rollout(policy: Policy, stable: str, canary: str) -> ServiceState:
    """A rollout by this policy that has just started, without approvals and hooks."""
    versions = tuple(Version(name=name, endpoints=_NOWHERE) for name in (stable, canary))
    unasked = policy.model_copy(update={"approve": (), "hooks": ()})
    service = Service(name="backtest", listen=Listen(port=1), versions=versions, stable=stable, policy=unasked)
    command = Command(Verb.START, "judged again", canary=canary, rollout_id="backtest")
    return execute(ServiceState(spec=service, source="", stable=stable), command, 0.0).state
