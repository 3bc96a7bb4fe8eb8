"""A controller in the model: the real core and the real xDS server around a view, without sockets and without time."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.core.control.changes import Origin, change_of
from controller.core.control.commands import Command, execute
from controller.core.control.decision import Decision
from controller.core.control.session import Session, TickInputs, after_commit
from controller.core.control.sync import Sync
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.verdict import Verdict
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.freeze import Freeze, expiry_times
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Store
from controller.runtime.ledger_writer import expiry
from controller.runtime.store_requests import find_state
from controller.store.memory import MemoryStore
from controller.xds.protocol.node import Node
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.sync_counts import SyncCounts
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import RDS
from tests.fakes.clock import FakeClock
from tests.model.store_checker import Ground, Judged, Sight, StoreChecker, Timed, done
from tests.xds.simulated_envoy import SimulatedEnvoy, SimulatedStream

FLEET = "edge"

Weigh = Callable[[ServiceState, Session, Verdict, float, TickInputs, float], tuple[Session, Verdict, Decision]]


class Ends(Protocol):
    """When freezes expire: `expiry_times`, or a mutant of it."""

    def __call__(
        self, freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
    ) -> dict[Freeze, float]: ...


def _load(text: str, _: ServiceState) -> Session:
    return Session.load(text)


@dataclass(frozen=True)
class Parts:
    """What a controller is made of: the real parts, unless a mutant takes the place of one."""

    store: Callable[[Clock], Store] = lambda clock: MemoryStore(clock=clock)
    decide_on_verdict: Weigh = decide_on_verdict
    execute: Callable[[ServiceState, Command, float], Decision] = execute
    restore: Callable[[View], View] = lambda view: view
    load_session: Callable[[str, ServiceState], Session] = _load
    newer: Callable[[View, View], bool] = lambda view, last: view.revision > last.revision
    link: Callable[[SimulatedEnvoy, Snapshot], SimulatedStream] = SimulatedStream
    ends: Ends = expiry_times
    counts: Callable[[], SyncCounts] = SyncCounts


@dataclass
class Write:
    """A change on its way to the store."""

    change: Change
    ground: Ground | None
    before: ServiceState | None = None
    session: Session | None = None


@dataclass
class Replica:
    """One controller process. `cut`: it cannot reach the store. `deaf`: its writes arrive, their answers do not.
    `forgetful`: it dies before it saves what it knows of a rollout."""

    name: str
    parts: Parts
    checker: StoreChecker
    archive: MemoryStore
    clock: FakeClock
    token: int = 0
    view: View = field(init=False)
    world: SnapshotCache = field(default_factory=SnapshotCache)
    links: dict[str, SimulatedStream] = field(default_factory=dict)
    counts: SyncCounts = field(init=False)
    counted: set[SimulatedStream] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    ends: dict[Freeze, float] = field(default_factory=dict)
    sights: dict[Freeze, Sight] = field(default_factory=dict)
    forgetful: bool = False
    cut: bool = False
    deaf: bool = False
    asleep: bool = False
    _ids = itertools.count(1)

    def __post_init__(self) -> None:
        self.view = self.parts.restore(self.checker.view)
        self.counts = self.parts.counts()
        self.world.update(self.view)
        self._fix_ends(arriving=False)

    # Following the store and serving the proxies.

    def follow(self, view: View) -> None:
        """Take a view that the store's watch gives, and send it to every proxy."""
        if self.cut or not self.parts.newer(view, self.view):
            return
        self.view = view
        self._fix_ends(arriving=True)
        if self.world.update(view):
            for link in self.links.values():
                link.step(self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """What it serves."""
        found = self.world.snapshot(FLEET)
        assert found is not None
        return found

    def connect(self, name: str, proxy: SimulatedEnvoy) -> SimulatedStream:
        """A proxy opens its stream."""
        self.links[name] = self.parts.link(proxy, self.snapshot)
        return self.links[name]

    def sync(self, service: str) -> Sync:
        """How far its own proxies are, as it counts them."""
        for gone in self.counted - set(self.links.values()):
            self.counts.remove(gone)
        self.counted = set(self.links.values())
        for each, link in zip(self.observed(), self.links.values(), strict=True):
            self.counts.update(link, each.node, link.stream.types.get(RDS), is_blind=each.is_blind)
        return self.counts.sync(service, {FLEET: self.snapshot})

    def observed(self) -> Iterator[ObservedStream]:
        """The streams of its proxies."""
        for name, link in self.links.items():
            yield ObservedStream(Node(name, FLEET, "model"), link.stream, self.snapshot, 0.0, {})

    # Deciding.

    def look(self, name: str, verdict: Verdict, soaked: Callable[[], float]) -> Write | None:
        """One look at one rollout: what it wants to write, if anything."""
        state = self.view.services.get(name)
        if state is None or state.rollout is None or not state.rollout.running:
            self.sessions.pop(name, None)
            return None
        around = TickInputs(self.view.freezes, self.sync(name))
        at, now = self.clock.monotonic(), self.clock.wall()
        session, told, decision = self.parts.decide_on_verdict(state, self._session(state), verdict, at, around, now)
        self.sessions[name] = session
        if decision.waits:
            return None
        change = change_of(state, decision, Origin(Actor("haldane"), self._id(), "automation"), told)
        return Write(change, Judged(self.token, verdict, soaked()), state, session)

    def expire(self) -> Iterator[Write]:
        """The freezes whose time is over, as far as it knows."""
        now = self._fix_ends(arriving=True)
        for freeze, end in self.ends.items():
            if now >= end:
                yield Write(expiry(freeze, self.view.freezes), Timed(self.token, self.sights[freeze]))

    def _fix_ends(self, *, arriving: bool) -> float:
        """Note when the freezes of its view end, and what it could know of that. The time of the monotonic clock."""
        now = self.clock.monotonic()
        for freeze in self.view.freezes:
            self.sights.setdefault(freeze, Sight(now, None if arriving else self.clock.skew))
        self.ends = self.parts.ends(self.view.freezes, self.ends, now, self.clock.wall(), arriving=arriving)
        return now

    def execute(self, name: str, command: Command, now: float) -> Write:
        """What an operator's command is to write, decided on the state as this replica knows it."""
        state = find_state(self.view, name)
        decision = self.parts.execute(state, replace(command, rollout_id=self._id()), now)
        return Write(change_of(state, decision, Origin(Actor("ada"), self._id(), "operator")), None)

    def deliver(self, write: Write) -> int | None:
        """The write arrives at the store: its revision; None where it was refused or no one knows."""
        try:
            revision = self._send(write)
        except StoreError:
            return None
        if write.session and write.change.state:
            session = after_commit(write.session, write.change.state, self.clock.monotonic())
            self.sessions[write.change.service] = session
            if not self.forgetful:
                self.save(write.change.service)
        return revision

    def save(self, service: str) -> None:
        """Keep the session of a service in the archive."""
        session = self.sessions.get(service)
        if session and not self.cut:
            done(self.archive.save_sessions({service: SavedSession(session.rollout_id, session.dump())}))

    def _send(self, write: Write) -> int:
        if self.cut:
            raise StoreLost("cut off")
        sent = (
            self.checker.automation(write.change, write.ground) if write.ground else self.checker.operator(write.change)
        )
        if self.deaf:
            raise StoreLost("no answer")
        return sent

    def _session(self, state: ServiceState) -> Session:
        """In hand, or as saved by whoever had it before, or fresh: as the loop does it."""
        assert state.rollout is not None
        session = self.sessions.get(state.name)
        if session and session.rollout_id == state.rollout.id:
            return session
        stored = done(self.archive.load_session(state.name, state.rollout.id))
        return self.parts.load_session(stored, state) if stored else Session.of(state)

    def _id(self) -> str:
        return f"{self.name}-{next(self._ids)}"
