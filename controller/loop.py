"""The imperative shell: observe -> judge -> decide -> commit, for every rollout, on every report.

It alone calls the core with real time and real windows. What it decides becomes true in the store and comes back to
it, as to everybody, by the store's watch; it keeps no state of its own that a restart would miss.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog

from controller.core.automation import decide_fallback
from controller.core.custom import lost
from controller.core.decision import Decision, held
from controller.core.guard import Act, Freeze
from controller.core.rollout import Phase
from controller.core.routing import cluster_name
from controller.core.session import Session, Surroundings, entered, tick
from controller.core.telemetry import Book
from controller.core.trace import point_of
from controller.core.verdict import Outcome, Verdict, Window
from controller.core.view import Entry, ServiceState, View
from controller.core.watch import Watch, look
from controller.diary import WHO, Diary
from controller.keeper import Keeper
from controller.operations import change_of
from controller.ports import (
    Archive,
    Clock,
    Conflict,
    CustomMetrics,
    Fleet,
    Frozen,
    Gates,
    Live,
    Store,
    StoreError,
    StoreLost,
    Traffic,
)
from controller.recorder import Recorder

IDLE = 0.5
"""Seconds between two looks when nothing is reported: what depends on time alone is noticed this late at most."""

_CHORES = "(chores)"
"""Under way beside the services' looks; no service can have this name."""


class Looked(NamedTuple):
    """One look at a rollout: what was seen, what is made of it, and of which rollout in which phase."""

    verdict: Verdict
    decision: str
    rollout_id: str
    phase: Phase


Step = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class Meter(Protocol):
    """Where the loop's figures go."""

    def decided(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        """A decision was committed."""
        ...

    def ticked(self, seconds: float) -> None:
        """One look at one rollout took so long."""
        ...

    def store_answers(self, up: bool) -> None:
        """Whether the store answered last time."""
        ...


class Loop:
    """Watches every rollout and acts. Also the `Observatory` that the doors look through."""

    def __init__(
        self,
        *,
        store: Store,
        archive: Archive,
        recorder: Recorder,
        book: Book,
        fleet: Fleet,
        gates: Gates,
        custom: CustomMetrics,
        clock: Clock,
        meter: Meter,
        sync_share: float,
        view: View,
        token: int,
    ) -> None:
        self._store = store
        self._keeper = Keeper(archive, clock)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._recorder = recorder
        self._book = book
        self._fleet = fleet
        self._gates = gates
        self._custom = custom
        self._clock = clock
        self._meter = meter
        self._sync_share = sync_share
        self._token = token
        self._sessions: dict[str, Session] = {}
        self._looked: dict[str, Looked] = {}
        self._awaited: dict[str, int] = {}
        self._watches: dict[str, Watch] = {}
        self._health: dict[str, Verdict] = {}
        self._ends: dict[tuple[str, float], float] = {}
        self._diary = Diary(store, token)
        self._news = asyncio.Event()
        self._turn = 0
        self._turned = asyncio.Condition()
        self._see(view)

    # What the doors look through.

    def view(self) -> View:
        """The newest view."""
        return self._view

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

    def void(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        return self._book.void(service, version, self._clock.monotonic())

    @property
    def turns(self) -> int:
        """How often everything has been looked at."""
        return self._turn

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen`; the number to wait with next time."""
        async with self._turned:
            await self._turned.wait_for(lambda: self._turn > seen)
            return self._turn

    # What happens to it.

    def notice(self) -> None:
        """Something was reported or acknowledged: look at once."""
        self._news.set()

    def note(self, entry: Entry) -> None:
        """Write a line into the ledger soon; for what happens without moving anything."""
        self._diary.note(entry)
        self._news.set()

    async def follow(self, publish: Callable[[View], None]) -> None:
        """Serve what the store says, for ever: publish each new view, then let the looks go on from it.

        What could not be published is tried again, and nothing more is decided until it is served.
        """
        while True:
            try:
                async for view in self._store.watch(self._view.revision):
                    publish(view)
                    self._see(view)
                    self._meter.store_answers(True)
                    self._news.set()
            except StoreLost as lost:
                self._meter.store_answers(False)
                log.warning("store_lost", reason=str(lost))
            except Exception:
                # A fault of ours in publishing must not end the controller: proxies keep what they have, freezes hold.
                log.exception("publish_failed")
            await asyncio.sleep(IDLE)

    def _see(self, view: View) -> None:
        self._view = view
        states = view.services.values()
        self._book.follow(cluster_name(state.name, v.name) for state in states for v in state.spec.versions)
        for remembered in (self._sessions, self._looked, self._awaited, self._watches, self._health):
            for gone in remembered.keys() - view.services.keys():
                del remembered[gone]
                self._keeper.forget(gone)
        self._recorder.follow(view)

    async def run(self) -> None:
        """Look at everything whenever there is news, for ever; and keep what is known of it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run())
            while True:
                # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE):
                        await self._news.wait()
                self._news.clear()
                await self._turn_once(tasks)
                async with self._turned:
                    self._turn += 1
                    self._turned.notify_all()

    async def save(self) -> None:
        """Keep every session, so that a restart goes on with its evidence."""
        for service, session in self._sessions.items():
            self._keeper.keep(service, session)
        await self._keeper.save()

    # One turn.

    async def _turn_once(self, tasks: asyncio.TaskGroup) -> None:
        """Look at every service; what is only written down comes after what may have to move.

        A look whose write takes long goes on beside the next turns: no service waits for another one's.
        """
        await self._side_by_side(tasks, {s.name: partial(self._attend, s) for s in self._view.services.values()})
        await self._side_by_side(tasks, {_CHORES: self._do_chores})

    async def _side_by_side(self, tasks: asyncio.TaskGroup, steps: Mapping[str, Step]) -> None:
        """Begin the steps that are not under way yet, and wait for them, but not for long."""
        for name in steps.keys() - self._under_way.keys():
            self._under_way[name] = tasks.create_task(self._try(steps[name]))
        under_way = [self._under_way[name] for name in steps]
        if under_way:
            await asyncio.wait(under_way, timeout=IDLE)
        self._under_way = {name: task for name, task in self._under_way.items() if not task.done()}

    async def _do_chores(self) -> None:
        await self._try(self._end_freezes)
        await self._diary.write()
        if self._diary.waits:
            self._news.set()

    async def _try(self, step: Step) -> None:
        """Do it. A fault in one rollout must not end the watch over the others."""
        try:
            await step()
        except StoreError as error:
            self._meter.store_answers(not isinstance(error, StoreLost))
            log.warning("not_committed", error=type(error).__name__, reason=str(error))
        except Exception:
            log.exception("look_failed")

    async def _attend(self, state: ServiceState) -> None:
        """Look at one service; not while what was decided last has yet to come back from the store."""
        if self._view.revision < self._awaited.get(state.name, 0):
            return
        if state.rollout and state.rollout.running:
            await self._look(state)
        else:
            await self._watch(state)

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
            stable_void=self.void(state.name, rollout.stable),
        )
        window = self._window(state, started)
        after, verdict, decision = tick(state, session, window, around, self._clock.wall())
        # Only what goes forward asks the hooks: nothing of theirs lies on the way back.
        if decision.forward and (why := self._gates.hold(state, decision, verdict)):
            decision = held(state, decision, why)
        self._sessions[state.name] = after
        self._looked[state.name] = Looked(verdict, decision.reason, rollout.id, rollout.phase)
        blind = "; ".join(reason.text for reason in verdict.reasons) if verdict.blind else "reports arrive again"
        self._diary.tell(state, "blind", "sight_back", holds=verdict.blind, why=blind)
        unread = lost(after.custom, after.evidence)
        why = unread.text if unread else "every custom metric is read again"
        self._diary.tell(state, "metric_lost", "metric_back", holds=unread is not None, why=why)
        try:
            if not decision.holds:
                await self._commit(state, after, verdict, decision)
            else:
                self._keeper.keep_now_and_then(state.name, after)
        finally:
            self._recorder.note(state, after, window, decided=not decision.holds)
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
        after = entered(session, decision.state)
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
        self._awaited[state.name] = revision
        self._meter.decided(decision.state, decision, verdict)
        self._meter.store_answers(True)
        log.info(
            "decided",
            service=state.name,
            decision=decision.kind.value,
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
        void = bool(fallback and fallback.version and self.void(state.name, fallback.version))
        decision = decide_fallback(state, verdict, blocked, self._clock.wall(), void=void)
        unwell = verdict.outcome is Outcome.HARM
        self._diary.tell(state, "stable_unhealthy", "stable_healthy", holds=unwell, why=decision.reason)
        if not decision.holds:
            await self._store_decision(state, verdict, decision)

    async def _end_freezes(self) -> None:
        """End the freezes whose time is over.

        Each one's end is fixed on the monotonic clock when it is first seen here, so a wall clock that jumps later
        ends none early; across a restart the wall clock is all there is.
        """
        now = self._clock.monotonic()
        known = {(f.scope, f.since): f for f in self._view.freezes if f.until is not None}
        self._ends = {key: end for key, end in self._ends.items() if key in known}
        for key, freeze in known.items():
            assert freeze.until is not None
            if now >= self._ends.setdefault(key, now + freeze.until - self._clock.wall()):
                await self._diary.expire(freeze)


def _numbers(state: ServiceState, session: Session, wall: float) -> Mapping[str, Any]:
    """How every channel stands at a decision, for the ledger: it must be explicable when its recording is gone."""
    rollout = state.rollout
    assert rollout is not None
    point = point_of(rollout.policy, session.evidence, session.custom, rollout.step, wall)
    return {**point.plain(), "limit": 1 / rollout.policy.false_rollback}
