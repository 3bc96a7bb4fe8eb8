"""One look at one service: observe -> judge -> decide -> commit. When to look at which is the loop's.

What is decided becomes true in the store and comes back from it, as to everybody; nothing is kept here that a restart
would miss.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from controller.core.control.automation import decide_fallback
from controller.core.control.changes import change_of
from controller.core.control.decision import Decision, held
from controller.core.control.session import Session, Surroundings, entered
from controller.core.control.tick import tick
from controller.core.history.evidence_trace import point_of
from controller.core.judge.custom.custom import all_read, lost
from controller.core.judge.stable_watch import Watch, look
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.cluster_names import cluster_name
from controller.core.model.freeze import Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.state import ServiceState
from controller.core.model.store_errors import Conflict, Frozen, NotWritten, StoreLost
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.reports import Traffic
from controller.core.traffic.window import Window
from controller.ports.clock import Clock
from controller.ports.custom_metrics import CustomMetrics
from controller.ports.fleet import Fleet
from controller.ports.hooks import Gates
from controller.ports.meters import TickMeter
from controller.ports.observatory import Live
from controller.ports.store import Store
from controller.runtime.ledger_writer import WHO, Diary
from controller.runtime.recorder import Recorder
from controller.runtime.session_saver import Keeper

log = structlog.get_logger()


class Looked(NamedTuple):
    """One look at a rollout: what was seen, what is made of it, and of which rollout in which phase."""

    verdict: Verdict
    decision: str
    rollout_id: str
    phase: Phase


class Lookout:
    """Looks at services and acts on what is seen. Remembers what was seen last, for the doors and the next look."""

    def __init__(
        self,
        *,
        store: Store,
        keeper: Keeper,
        diary: Diary,
        recorder: Recorder,
        book: Book,
        fleet: Fleet,
        gates: Gates,
        custom: CustomMetrics,
        clock: Clock,
        meter: TickMeter,
        sync_share: float,
        token: int,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._diary = diary
        self._recorder = recorder
        self._book = book
        self._fleet = fleet
        self._gates = gates
        self._custom = custom
        self._clock = clock
        self._meter = meter
        self._sync_share = sync_share
        self._token = token
        self._view = View("", 0, {})
        self._sessions: dict[str, Session] = {}
        self._looked: dict[str, Looked] = {}
        self._awaited: dict[str, int] = {}
        self._unanswered: dict[str, tuple[Decision, Verdict]] = {}
        self._watches: dict[str, Watch] = {}
        self._health: dict[str, Verdict] = {}

    def follow(self, view: View) -> None:
        """The newest view, from which the next looks go on."""
        self._view = view
        states = view.services.values()
        self._book.follow(cluster_name(state.name, v.name) for state in states for v in state.spec.versions)
        self._recorder.follow(view)
        self._diary.follow(view)
        seen = (self._sessions, self._looked, self._watches, self._health)
        for remembered in (*seen, self._awaited, self._unanswered):
            for gone in remembered.keys() - view.services.keys():
                del remembered[gone]
                self._keeper.forget(gone)

    def live(self, service: str) -> Live:
        """The newest look at a service."""
        state = self._view.services.get(service)
        if state is None:
            return Live()
        now = self._clock.monotonic()
        versions = [version.name for version in state.spec.versions]
        traffic: Mapping[str, Traffic] = {v: self._book.traffic(service, v, now) for v in versions}
        verdict, decision = self._told_of(state)
        evidence = self._recorder.evidence(service)
        return Live(verdict, decision, traffic, self._clock.wall(), self._health.get(service), evidence)

    def _told_of(self, state: ServiceState) -> tuple[Verdict | None, str]:
        """What was seen of its rollout, and what is made of it; what was said of another rollout or phase is over."""
        looked, rollout = self._looked.get(state.name), state.rollout
        if looked is None or rollout is None or looked.rollout_id != rollout.id:
            return None, ""
        return looked.verdict, looked.decision if looked.phase is rollout.phase else rollout.reason

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        return self._book.no_healthy_upstream(service, version, self._clock.monotonic())

    def keep(self) -> None:
        """Have every session saved, so that a restart goes on with its evidence."""
        for service, session in self._sessions.items():
            self._keeper.keep(service, session)

    async def attend(self, state: ServiceState) -> None:
        """Look at one service; not while what was decided last has yet to come back from the store."""
        if self._view.revision < self._awaited.get(state.name, 0):
            return
        self._settle(state)
        if state.rollout and state.rollout.running:
            await self._look(state)
        else:
            await self._watch(state)

    def _settle(self, state: ServiceState) -> None:
        """Count the decision whose answer was lost, once it is seen that it came true."""
        decision, verdict = self._unanswered.get(state.name, (None, None))
        if decision and verdict and state.revision > decision.state.revision:
            del self._unanswered[state.name]
            if state.rollout == decision.state.rollout:
                self._meter.decided(decision.state, decision, verdict)

    async def _look(self, state: ServiceState) -> None:
        """One look at a running rollout."""
        started = self._clock.monotonic()
        session = await self._session(state)
        rollout = state.rollout
        assert rollout is not None
        around = Surroundings(
            self._view.freezes,
            self._fleet.sync(state.name, state.revision),
            self._sync_share,
            harm=self._gates.rollback(state, self._told_of(state)[0]),
            stable_unroutable=self.no_healthy_upstream(state.name, rollout.stable),
        )
        window = self._window(state, started)
        after, verdict, decision = tick(state, session, window, around, self._clock.wall())
        # Only what goes forward asks the hooks: nothing of theirs lies on the way back.
        if decision.forward and (why := self._gates.hold(state, decision, verdict)):
            decision = held(state, decision, why)
        self._sessions[state.name] = after
        self._looked[state.name] = Looked(verdict, decision.reason, rollout.id, rollout.phase)
        blind = "; ".join(reason.text for reason in verdict.reasons) if verdict.blind else "reports arrive again"
        # A new rollout is not blind in its first seconds, report or not: what is over is over when something is seen.
        seen = window.stable is not None or window.canary is not None
        self._diary.tell(
            state, LedgerKind.BLIND, LedgerKind.SIGHT_BACK, holds=verdict.blind or (False if seen else None), why=blind
        )
        unread = lost(after.custom, after.evidence)
        why = unread.text if unread else "every custom metric is read again"
        missed = unread is not None or (False if all_read(after.custom) else None)
        self._diary.tell(state, LedgerKind.METRIC_LOST, LedgerKind.METRIC_BACK, holds=missed, why=why)
        try:
            if not decision.waits:
                await self._commit(state, after, verdict, decision)
            else:
                self._keeper.keep_now_and_then(state.name, after)
        finally:
            self._recorder.note(state, after, window, decided=not decision.waits)
        self._meter.ticked(self._clock.monotonic() - started)

    def _window(self, state: ServiceState, now: float) -> Window:
        rollout = state.rollout
        assert rollout is not None
        window = self._book.window(state.name, rollout.stable, rollout.canary, rollout.weight, now)
        window = window or Window(now, rollout.weight, None, None)
        return replace(window, custom=self._custom.take(state)) if rollout.policy.metrics else window

    async def _session(self, state: ServiceState) -> Session:
        """The session of the running rollout: in hand, or as saved before a restart, or fresh."""
        assert state.rollout is not None
        session = self._sessions.get(state.name)
        if session and session.rollout_id == state.rollout.id:
            return session
        kept = await self._keeper.load(state.name, state.rollout.id)
        if kept:
            await self._recorder.resume(state, kept)
            return kept
        self._book.reset(state.name)
        return Session.of(state)

    async def _commit(self, state: ServiceState, session: Session, verdict: Verdict, decision: Decision) -> None:
        if not await self._store_decision(state, verdict, decision, _numbers(state, session, self._clock.wall())):
            return
        after = entered(session, decision.state, self._clock.monotonic())
        self._sessions[state.name] = after
        self._keeper.keep(state.name, after)

    async def _store_decision(
        self, state: ServiceState, verdict: Verdict, decision: Decision, evidence: Mapping[str, Any] | None = None
    ) -> bool:
        """Make a decision true; False if somebody was faster, or a freeze came between."""
        change = change_of(state, decision, WHO, uuid.uuid4().hex, uuid.uuid4().hex, verdict, evidence)
        try:
            revision = await self._store.commit(change, self._token)
        except (Conflict, Frozen) as refused:
            why = type(refused).__name__.lower()
            log.info("not_applied", service=state.name, decision=decision.kind, why=why, reason=str(refused))
            return False
        except NotWritten:
            raise
        except StoreLost:
            self._unanswered[state.name] = decision, verdict
            raise
        self._unanswered.pop(state.name, None)
        self._awaited[state.name] = revision
        self._meter.decided(decision.state, decision, verdict)
        self._meter.store_answers(True)
        log.info(
            "decided",
            service=state.name,
            decision=decision.kind,
            reason=decision.reason,
            weights=decision.state.weights,
            revision=revision,
        )
        return True

    async def _watch(self, state: ServiceState) -> None:
        """One look at a stable while no rollout runs; what was seen of the last rollout stays on show."""
        self._sessions.pop(state.name, None)
        self._recorder.rest(state.name)
        now = self._clock.monotonic()
        watch = self._watches.get(state.name)
        if watch is None or watch.stable != state.stable:
            watch = Watch(state.stable)
        window = self._book.window(state.name, state.stable, "", 0, now)
        policy = state.spec.policy
        self._watches[state.name], verdict = look(policy, watch, window.stable if window else None, now)
        self._health[state.name] = verdict

        def blocked(act: Act) -> Freeze | None:
            return self._view.blocking(state.name, act)

        fallback = state.spec.fallback
        void = bool(fallback and fallback.version and self.no_healthy_upstream(state.name, fallback.version))
        decision = decide_fallback(state, verdict, blocked, self._clock.wall(), void=void)
        unwell = verdict.outcome is Outcome.HARM
        self._diary.tell(
            state, LedgerKind.STABLE_UNHEALTHY, LedgerKind.STABLE_HEALTHY, holds=unwell, why=decision.reason
        )
        if not decision.waits:
            await self._store_decision(state, verdict, decision)


def _numbers(state: ServiceState, session: Session, wall: float) -> Mapping[str, Any]:
    """How every channel stands at a decision, for the ledger: it must be explicable when its recording is gone."""
    rollout = state.rollout
    assert rollout is not None
    point = point_of(rollout.policy, session.evidence, session.custom, rollout.step, wall)
    return {**point.plain(), "limit": 1 / rollout.policy.false_rollback}
