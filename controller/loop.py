"""The imperative shell: observe -> judge -> decide -> commit, for every rollout, on every report.

It alone calls the core with real time and real windows. What it decides becomes true in the store and comes back to
it, as to everybody, by the store's watch; it keeps no state of its own that a restart would miss.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from controller.core.decision import Decision, held
from controller.core.guard import Act, Freeze
from controller.core.routing import cluster_name
from controller.core.session import Session, Surroundings, entered, tick
from controller.core.telemetry import Book
from controller.core.verdict import Verdict, Window
from controller.core.view import Change, Entry, ServiceState, View
from controller.operations import change_of
from controller.ports import (
    Archive,
    Clock,
    Conflict,
    Fleet,
    Frozen,
    Gates,
    Live,
    Store,
    StoreError,
    StoreLost,
    Traffic,
)

WHO = "haldane"
"""Who the ledger names for what automation does."""
IDLE = 0.5
"""Seconds between two looks when nothing is reported: what depends on time alone is noticed this late at most."""
SAVE_EVERY = 5.0
"""Seconds between two saves of a session: what a crash costs of the evidence."""

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
        book: Book,
        fleet: Fleet,
        gates: Gates,
        clock: Clock,
        meter: Meter,
        sync_share: float,
        view: View,
        token: int,
    ) -> None:
        self._store = store
        self._archive = archive
        self._book = book
        self._fleet = fleet
        self._gates = gates
        self._clock = clock
        self._meter = meter
        self._sync_share = sync_share
        self._token = token
        self._see(view)
        self._sessions: dict[str, Session] = {}
        self._verdicts: dict[str, tuple[Verdict, str]] = {}
        self._saved: dict[str, float] = {}
        self._awaited: dict[str, int] = {}
        self._blind: set[str] = set()
        self._ends: dict[tuple[str, float], float] = {}
        self._notes: list[Entry] = []
        self._news = asyncio.Event()
        self._turn = 0
        self._turned = asyncio.Condition()

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
        verdict, decision = self._verdicts.get(service, (None, ""))
        return Live(verdict, decision, traffic, self._clock.wall())

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
        self._notes.append(entry)
        self._news.set()

    async def follow(self, publish: Callable[[View], None]) -> None:
        """Serve what the store says, for ever: publish each new view, then let the looks go on from it."""
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
                await asyncio.sleep(IDLE)

    def _see(self, view: View) -> None:
        self._view = view
        states = view.services.values()
        self._book.follow(cluster_name(state.name, v.name) for state in states for v in state.spec.versions)

    async def run(self) -> None:
        """Look at everything whenever there is news, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), IDLE)
            self._news.clear()
            await self._turn_once()
            async with self._turned:
                self._turn += 1
                self._turned.notify_all()

    async def save(self) -> None:
        """Keep every session, so that a restart goes on with its evidence."""
        for service, session in self._sessions.items():
            await self._keep(service, session)

    # One turn.

    async def _turn_once(self) -> None:
        try:
            await self._write_notes()
            await self._end_freezes(self._view.freezes)
            for state in list(self._view.services.values()):
                if state.rollout and state.rollout.running:
                    await self._look_safely(state)
                else:
                    self._sessions.pop(state.name, None)
        except StoreError as error:
            self._meter.store_answers(not isinstance(error, StoreLost))
            log.warning("not_committed", error=type(error).__name__, reason=str(error))

    async def _look_safely(self, state: ServiceState) -> None:
        """A fault in one rollout must not end the watch over the others."""
        try:
            await self._look(state)
        except StoreError:
            raise
        except Exception:
            log.exception("look_failed", service=state.name)

    async def _look(self, state: ServiceState) -> None:
        """One look at one rollout; skipped while what was decided last has yet to come back from the store."""
        if self._view.revision < self._awaited.get(state.name, 0):
            return
        started = self._clock.monotonic()
        session = await self._session(state)
        around = Surroundings(
            self._view.freezes,
            self._fleet.sync(state.name, state.revision),
            self._sync_share,
            harm=self._gates.rollback(state, self._verdicts.get(state.name, (None, ""))[0]),
        )
        after, verdict, decision = tick(state, session, self._window(state, started), around, self._clock.wall())
        # Only what goes forward asks the hooks: nothing of theirs lies on the way back.
        if decision.forward and (why := self._gates.hold(state, decision, verdict)):
            decision = held(state, decision, why)
        self._sessions[state.name] = after
        self._verdicts[state.name] = (verdict, decision.reason)
        self._tell_blindness(state, verdict)
        if not decision.holds:
            await self._commit(state, after, verdict, decision)
        elif started - self._saved.get(state.name, 0.0) >= SAVE_EVERY:
            await self._keep(state.name, after)
        self._meter.ticked(self._clock.monotonic() - started)

    def _window(self, state: ServiceState, now: float) -> Window:
        rollout = state.rollout
        assert rollout is not None
        window = self._book.window(state.name, rollout.stable, rollout.canary, rollout.weight, now)
        return window or Window(now, rollout.weight, None, None)

    async def _session(self, state: ServiceState) -> Session:
        """The session of the running rollout: in hand, or as saved before a restart, or fresh."""
        assert state.rollout is not None
        session = self._sessions.get(state.name)
        if session and session.rollout_id == state.rollout.id:
            return session
        stored = await self._archive.load_session(state.name, state.rollout.id)
        if stored:
            try:
                return Session.load(stored)
            except ValueError as error:
                log.warning("session_unreadable", service=state.name, reason=str(error))
        self._book.reset(state.name)
        return Session.of(state)

    async def _commit(self, state: ServiceState, session: Session, verdict: Verdict, decision: Decision) -> None:
        change = change_of(state, decision, WHO, uuid.uuid4().hex, uuid.uuid4().hex, verdict)
        try:
            revision = await self._store.commit(change, self._token)
        except Conflict as conflict:
            log.info("overtaken", service=state.name, decision=decision.kind, reason=str(conflict))
            return
        except Frozen as frozen:
            log.info("frozen_meanwhile", service=state.name, decision=decision.kind, reason=str(frozen))
            return
        self._awaited[state.name] = revision
        after = entered(session, state, decision.state)
        self._sessions[state.name] = after
        self._meter.decided(decision.state, decision, verdict)
        self._meter.store_answers(True)
        await self._keep(state.name, after)
        log.info(
            "decided",
            service=state.name,
            decision=decision.kind.value,
            reason=decision.reason,
            weights=decision.state.weights,
            revision=revision,
        )

    async def _keep(self, service: str, session: Session) -> None:
        self._saved[service] = self._clock.monotonic()
        await self._archive.save_session(service, session.rollout_id, session.dump())

    def _tell_blindness(self, state: ServiceState, verdict: Verdict) -> None:
        """Tell the ledger when sight is lost and when it is back, once each."""
        if verdict.blind == (state.name in self._blind):
            return
        (self._blind.add if verdict.blind else self._blind.discard)(state.name)
        why = "; ".join(r.text for r in verdict.reasons) if verdict.blind else "reports arrive again"
        kind = "blind" if verdict.blind else "sight_back"
        self._notes.append(
            Entry(
                kind=kind,
                service=state.name,
                who=WHO,
                why=why,
                weights_before=state.weights,
                weights_after=state.weights,
            )
        )

    async def _write_notes(self) -> None:
        while self._notes:
            await self._record(self._notes[0])
            self._notes.pop(0)

    async def _end_freezes(self, freezes: Sequence[Freeze]) -> None:
        """Lift the freezes whose time is over.

        Each one's end is fixed on the monotonic clock when it is first seen here, so a wall clock that jumps later
        ends none early; across a restart the wall clock is all there is.
        """
        now = self._clock.monotonic()
        for freeze in freezes:
            if freeze.until is None:
                continue
            end = self._ends.setdefault((freeze.scope, freeze.since), now + freeze.until - self._clock.wall())
            if now >= end:
                entry = Entry(
                    kind="freeze_expired", service=freeze.scope, who=WHO, why=f"its ttl is over: {freeze.reason}"
                )
                await self._record(entry, lift=(freeze,))
                del self._ends[freeze.scope, freeze.since]

    async def _record(self, entry: Entry, lift: tuple[Freeze, ...] = ()) -> None:
        change = Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, lift=lift)
        await self._store.commit(change, self._token)
