"""One tick of one service: observe -> judge -> decide -> commit. When each is ticked is the cycle's.

A decision takes effect when the store commits it; this replica sees it in the next view, like every other. Nothing is
kept here that a restart would miss.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from controller.core.control.automation import decide_fallback
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.changes import Origin, change_of
from controller.core.control.decision import Decision, wait
from controller.core.control.describe import describe_cut_off
from controller.core.control.session import Session, TickInputs, after_commit
from controller.core.control.sync import Sync
from controller.core.control.tick import tick
from controller.core.history.evidence_trace import point_of
from controller.core.judge.custom.custom_metrics import all_read, lost_metric
from controller.core.judge.stable_watch import StableWatch, watch_stable
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.actor import CONTROLLER, Actor
from controller.core.model.change import Change
from controller.core.model.cluster_names import Role
from controller.core.model.freeze import Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import Conflict, Frozen, NotWritten, StoreLost
from controller.core.model.view import View
from controller.core.traffic.window import Window
from controller.runtime.adapters import Adapters
from controller.runtime.drain_reports import DrainReports
from controller.runtime.endpoint_lines import EndpointLines
from controller.runtime.ledger_writer import LedgerWriter
from controller.runtime.recorder import Recorder
from controller.runtime.refused_decisions import RefusedDecisions
from controller.runtime.session_saver import SessionSaver

COMMITS = 16
"""Decisions that are put to the store at a time. When a thousand rollouts decide at once, the others
wait here and not in the store's queue, where an operator's act would wait behind them."""

LASTING = 10.0
"""Seconds for which a controller is cut off before the ledger has a line of it, and people are notified."""

log = structlog.get_logger()


class TickOutcome(NamedTuple):
    """What the last tick of a rollout found and decided, and the rollout and phase it was in."""

    verdict: Verdict
    decision: Decision
    rollout_id: str
    phase: Phase

    def is_of(self, rollout: Rollout) -> bool:
        """Whether the rollout is in the phase that it was in, or in the one that the decision led to."""
        after = self.decision.state.rollout
        return rollout.phase is self.phase or (after is not None and rollout.phase is after.phase)


class TickSummary(NamedTuple):
    """What is known of a rollout from its last tick: the verdict, and what the decision says besides it."""

    verdict: Verdict | None = None
    remark: str = ""
    blocker: Blocker | None = None


class Writers(NamedTuple):
    """What ticks write besides their decisions."""

    saver: SessionSaver
    ledger: LedgerWriter
    recorder: Recorder


class Ticker:
    """Ticks services with the token of one term. Remembers the last tick of each, for the APIs and the next tick."""

    def __init__(
        self,
        adapters: Adapters,
        writers: Writers,
        *,
        token: int,
        view: Callable[[], View],
        sync_share: float,
    ) -> None:
        self._store = adapters.store
        self._right_of_way = adapters.right_of_way
        self._clock = adapters.clock
        self._book = adapters.book
        self._fleet = adapters.fleet
        self._hooks = adapters.hooks
        self._custom = adapters.custom
        self._meter = adapters.meter
        self._reports = adapters.reports
        self._tracer = adapters.tracer
        self._saver = writers.saver
        self._ledger = writers.ledger
        self._recorder = writers.recorder
        self._drains = DrainReports(writers.ledger)
        self._sources = adapters.sources
        self._endpoint_lines = EndpointLines(writers.ledger, adapters.sources)
        self._token = token
        self._view = view
        self._sync_share = sync_share
        self._sessions: dict[str, Session] = {}
        self._ticked: dict[str, TickOutcome] = {}
        self._awaited: dict[str, int] = {}
        """The revision of each service's last decision: no tick before the view has come that far."""
        self._unanswered: dict[str, tuple[Decision, Verdict]] = {}
        """The decisions that were perhaps applied."""
        self._watches: dict[str, StableWatch] = {}
        self._stable: dict[str, Verdict] = {}
        self._waiting: set[str] = set()
        self._refused = RefusedDecisions()
        self._turns = asyncio.Semaphore(COMMITS)

    @property
    def waiting(self) -> Collection[str]:
        """The services whose rollouts were not in sync at their last tick."""
        return self._waiting

    def is_restless(self, state: ServiceState) -> bool:
        """Whether time alone can change what is decided on the service in that state."""
        if state.rollout and state.rollout.running:
            return True
        stable = self._stable.get(state.name)
        return stable is not None and stable.outcome is Outcome.HARM

    def is_due(self, service: str) -> bool:
        """Whether a complete window can change what is decided on the service.

        Between two bets of a running rollout it cannot: the next tick judges it together with what is reported until
        then.
        """
        session, ticked = self._sessions.get(service), self._ticked.get(service)
        if session is None or ticked is None or not ticked.decision.waits:
            return True
        return session.judge_state.is_due(self._clock.monotonic())

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the services that are gone: one that comes back under the same name starts afresh."""
        by_service = (self._sessions, self._ticked, self._watches, self._stable)
        for remembered in (*by_service, self._awaited, self._unanswered):
            for gone in remembered.keys() - set(services):
                del remembered[gone]
                self._saver.forget(gone)
        self._waiting &= set(services)
        self._drains.forget_all_but(services)
        self._endpoint_lines.forget_all_but(services)
        self._refused.forget_all_but(services)

    def last_tick(self, state: ServiceState) -> TickSummary:
        """What the last tick of the service's rollout came to; empty if it was another rollout's."""
        ticked, rollout = self._ticked.get(state.name), state.rollout
        if ticked is None or rollout is None or ticked.rollout_id != rollout.id:
            return TickSummary()
        if ticked.is_of(rollout):
            return TickSummary(ticked.verdict, ticked.decision.remark, ticked.decision.blocker)
        return TickSummary(ticked.verdict, rollout.reason)

    def stable_verdict(self, state: ServiceState) -> Verdict | None:
        """The verdict on the service's stable, from when no rollout was running last."""
        watch = self._watches.get(state.name)
        if watch is None or watch.stable != state.stable or (state.rollout and state.rollout.running):
            return self._stable.get(state.name)
        return watch_stable(state.spec.policy, watch, None, self._clock.monotonic())[1]

    async def load_sessions(self) -> Mapping[str, Mapping[str, int]]:
        """Load what earlier terms saved of the rollouts that run. Returns by service up to which batch of each
        controller's reports that is; services whose session cannot be read now are left out, and loaded at their first
        tick."""
        running = [state for state in self._view().services.values() if state.rollout and state.rollout.running]
        for start in range(0, len(running), COMMITS):
            await asyncio.gather(*map(self._load_saved, running[start : start + COMMITS]))
        return {service: session.positions for service, session in self._sessions.items()}

    def save_sessions(self) -> None:
        """Hand every session to the saver, so that a restart goes on with its evidence."""
        for service, session in self._sessions.items():
            self._saver.save_soon(service, session)

    def tick(self, state: ServiceState) -> Coroutine[Any, Any, object] | None:
        """Tick one service, unless its last decision has yet to come back from the store.

        What has to wait for the store is returned, to be awaited: None if nothing has.
        """
        self._endpoint_lines.observe(state)
        if self._view().revision < self._awaited.get(state.name, 0):
            return None
        self._count_unanswered(state)
        if not (state.rollout and state.rollout.running):
            return self._tick_stable(state)
        session = self._sessions.get(state.name)
        if session and session.rollout_id == state.rollout.id:
            return self._tick_rollout(state, session)
        return self._load_and_tick(state)

    def _count_unanswered(self, state: ServiceState) -> None:
        """Count the decision whose answer was lost, once the view shows that it was applied."""
        decision, verdict = self._unanswered.get(state.name, (None, None))
        if decision and verdict and state.revision > decision.state.revision:
            del self._unanswered[state.name]
            if state.rollout == decision.state.rollout:
                self._meter.count_decision(decision.state, decision, verdict)

    async def _load_and_tick(self, state: ServiceState) -> None:
        if rest := self._tick_rollout(state, await self._load_session(state)):
            await rest

    def _tick_rollout(self, state: ServiceState, session: Session) -> Coroutine[Any, Any, object] | None:
        started = self._clock.monotonic()
        rollout = state.rollout
        assert rollout is not None
        sync = self._fleet.sync(state.name, state.revision)
        self._book.set_lagging(state.name, sync.splits)
        (self._waiting.discard if sync.settled else self._waiting.add)(state.name)
        before = self._ticked.get(state.name)
        if before and before.rollout_id != rollout.id:
            before = None
        inputs = TickInputs(
            self._view().freezes,
            sync,
            self._sync_share,
            harm=self._hooks.rollback_reason(state, before.verdict if before else None),
            endpoints={
                version: self._book.endpoint_health(state.name, version, started)
                for version in (rollout.stable, rollout.canary)
            },
        )
        window = self._window(state, started)
        if self._reports and window.has_reports:
            session = session.reported_until(self._reports.positions)
        after, verdict, decision = tick(state, session, window, inputs, self._clock.wall())
        if decision.act is Act.ADVANCE and (blocker := self._shared_endpoints(state, decision)):
            decision = wait(state, blocker, verdict)
        # Only what goes forward asks the hooks: a rollback waits for none of them.
        if decision.asks_hooks and (blocker := self._hooks.hook_blocker(state, decision, verdict)):
            decision = wait(state, blocker, verdict)
        self._sessions[state.name] = after
        self._ticked[state.name] = TickOutcome(verdict, decision, rollout.id, rollout.phase)
        self._note_telemetry_gaps(state, after, verdict, sync, reported=window.has_reports)
        self._recorder.add(state, after, window, decided=not decision.waits)
        self._meter.observe_tick(self._clock.monotonic() - started)
        if not decision.waits:
            self._tracer.decided(state, decision, started)
            return self._commit(state, after, verdict, decision)
        self._saver.save_at_times(state.name, after)
        return None

    def _note_telemetry_gaps(
        self, state: ServiceState, session: Session, verdict: Verdict, sync: Sync, *, reported: bool
    ) -> None:
        """Have the ledger say when reports or custom metrics stop, and when they are back."""
        # At the beginning of a term it takes the others a moment to connect.
        cut_off = any(each.seconds >= LASTING for each in sync.cut_off)
        is_blind, blind = verdict.blind or cut_off, "reports arrive again"
        if verdict.blind:
            blind = "; ".join(reason.text for reason in verdict.reasons)
        elif cut_off:
            blind = describe_cut_off(sync)
        # A new rollout is not blind in its first seconds, report or not: only a report ends the old one's blindness.
        self._ledger.update(
            state,
            LedgerKind.BLIND,
            LedgerKind.SIGHT_BACK,
            holds=is_blind or (False if reported else None),
            why=blind,
        )
        unread = lost_metric(session.custom, session.judge_state)
        why = unread.text if unread else "every custom metric is read again"
        missed = unread is not None or (False if all_read(session.custom) else None)
        self._ledger.update(state, LedgerKind.METRIC_LOST, LedgerKind.METRIC_BACK, holds=missed, why=why)

    def _shared_endpoints(self, state: ServiceState, decision: Decision) -> Blocker | None:
        """What blocks a move forward if stable and the canary have an endpoint in common: a comparison of the two
        proves nothing."""
        rollout = state.rollout
        both = {rollout.stable, rollout.canary} if rollout else set[str]()
        shared = tuple(each.address for each in self._sources.shared(state.name) if both <= set(each.versions))
        return Blocker(BlockerKind.SHARED_ENDPOINT, decision.kind, names=shared) if shared else None

    def _window(self, state: ServiceState, now: float) -> Window:
        rollout = state.rollout
        assert rollout is not None
        role = Role.MIRROR if rollout.is_judged_by_copies else Role.LIVE
        window = self._book.take_window(state.name, rollout.stable, rollout.canary, rollout.weight, now, role)
        window = window or Window(now, rollout.weight, None, None)
        return replace(window, custom=self._custom.take(state)) if rollout.policy.metrics else window

    async def _load_saved(self, state: ServiceState) -> None:
        assert state.rollout is not None
        try:
            saved = await self._saver.load(state.name, state.rollout.id)
        except StoreLost as lost:
            log.warning("session_not_loaded", service=state.name, reason=str(lost))
            return
        if saved:
            await self._recorder.resume(state, saved)
            self._sessions[state.name] = saved

    async def _load_session(self, state: ServiceState) -> Session:
        """The session of the running rollout as saved by an earlier term, or a new one."""
        assert state.rollout is not None
        saved = await self._saver.load(state.name, state.rollout.id)
        if saved:
            await self._recorder.resume(state, saved)
            return saved
        self._book.begin_rollout(state.name)
        positions = self._reports.positions if self._reports else {}
        return Session.of(state)._replace(positions=positions)

    async def _commit(self, state: ServiceState, session: Session, verdict: Verdict, decision: Decision) -> None:
        if not await self._store_decision(state, verdict, decision, _numbers(state, session, self._clock.wall())):
            return
        after = after_commit(session, decision.state, self._clock.monotonic())
        self._sessions[state.name] = after
        self._saver.save_soon(state.name, after)

    async def _store_decision(
        self, state: ServiceState, verdict: Verdict, decision: Decision, evidence: Mapping[str, Any] | None = None
    ) -> bool:
        """Commit a decision; False if another change or a freeze came first. `StoreLost`: perhaps applied."""
        origin = Origin(Actor(CONTROLLER), uuid.uuid4().hex, uuid.uuid4().hex)
        change = change_of(state, decision, origin, verdict, evidence)
        try:
            revision = await self._put(change)
        except (Conflict, Frozen) as refused:
            self._tracer.not_committed(state.name, str(refused))
            self._refused.note(state.name, decision, refused)
            return False
        except StoreLost as lost:
            self._tracer.not_committed(state.name, str(lost))
            if not isinstance(lost, NotWritten):
                self._unanswered[state.name] = decision, verdict
            raise
        self._tracer.committed(state.name, revision)
        self._unanswered.pop(state.name, None)
        self._refused.applied(state.name)
        self._awaited[state.name] = revision
        self._meter.count_decision(decision.state, decision, verdict)
        log.info(
            "decided",
            service=state.name,
            decision=decision.kind,
            reason=decision.reason,
            weights=decision.state.weights,
            revision=revision,
        )
        return True

    async def _put(self, change: Change) -> int:
        """Commit a change in its turn; what moves traffic away from harm waits for none."""
        if change.act.is_urgent:
            with self._right_of_way.handed_on():
                return await self._store.commit(change, self._token)
        async with self._turns:
            return await self._store.commit(change, self._token)

    def _tick_stable(self, state: ServiceState) -> Coroutine[Any, Any, object] | None:
        """Watch stable while no rollout runs; the verdict on the last rollout is kept for people."""
        self._sessions.pop(state.name, None)
        self._waiting.discard(state.name)
        self._recorder.release(state.name)
        now = self._clock.monotonic()
        canary = state.rollout.canary if state.rollout else ""
        self._drains.observe(state, self._book.in_progress(state.name, canary), self._clock.wall())
        watch = self._watches.get(state.name)
        if watch is None or watch.stable != state.stable:
            watch = StableWatch(state.stable)
        window = self._book.take_window(state.name, state.stable, "", 0, now)
        policy = state.spec.policy
        self._watches[state.name], verdict = watch_stable(policy, watch, window.stable if window else None, now)
        self._stable[state.name] = verdict

        def blocked(act: Act) -> Freeze | None:
            return self._view().blocking_freeze(state.name, act)

        fallback = state.spec.fallback
        no_upstream = bool(
            fallback and fallback.version and self._book.no_healthy_upstream(state.name, fallback.version, now)
        )
        decision = decide_fallback(state, verdict, blocked, self._clock.wall(), fallback_has_no_upstream=no_upstream)
        unhealthy = verdict.outcome is Outcome.HARM
        self._ledger.update(
            state, LedgerKind.STABLE_UNHEALTHY, LedgerKind.STABLE_HEALTHY, holds=unhealthy, why=decision.reason
        )
        if decision.waits:
            return None
        self._tracer.decided(state, decision, now)
        return self._store_decision(state, verdict, decision)


def _numbers(state: ServiceState, session: Session, wall: float) -> Mapping[str, Any]:
    """How every channel stands at a decision, for the ledger: it must be explicable when its recording is gone."""
    rollout = state.rollout
    assert rollout is not None
    point = point_of(rollout.policy, session.judge_state, session.custom, rollout.step, wall)
    return {**point.plain(), "limit": 1 / rollout.policy.false_rollback}
