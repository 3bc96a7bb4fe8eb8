"""What the proxies of all controllers report, for the one that decides: made for a term, and dropped with it.

It reads the log of each controller, its own too, into one book, as if all proxies were connected to it. A controller
that has proxies and is not heard of is cut off: its proxies are not absent but unseen, so that no rollout advances.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from controller.core.control.session import Session
from controller.core.control.sync import CutOff, Sync, joined
from controller.core.model.split_name import split_name
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import ReportBatch
from controller.core.traffic.report_intake import Positions, ReportIntake
from controller.ports.clock import Clock
from controller.ports.edges import EdgeUpdate, Node, ServiceSync
from controller.ports.fleet import Fleet, ProxyStatus
from controller.ports.report_admission import Reporter
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica
from controller.runtime.report_totals import ReportTotals

MAX_CONTROLLERS = 100
"""Controllers that report at once, with those that were restarted in the last minute."""
MAX_PROXIES = 100_000
"""Proxies of one controller, counting those of a batch once more: far beyond what it can serve."""
FLUSH_EVERY = 0.05
"""Seconds between two batches: a quarter of the shortest interval in which proxies report."""
CUT_OFF_AFTER = 3.0
"""Seconds of silence after which a controller is cut off. It sends something every second."""
GONE_AFTER = 60.0
"""Seconds for which the proxies of a controller that has no record any more are waited for, unless they come back
elsewhere: Envoy waits 30 s at most before it connects again."""
TIDY_EVERY = 1.0

log = structlog.get_logger()


class ConnectedProxies(Fleet, Protocol):
    """The proxies that are connected to one controller."""

    def is_connected(self, node: str, fleet: str) -> bool:
        """Whether that node of that fleet has a stream here."""
        ...


@dataclass(slots=True, eq=False)
class _Edge:
    """Another controller, as far as it has told of itself in this term."""

    name: str
    heard_at: float
    streams: int = 0
    complete: bool = False
    """Whether it has ever told of all its proxies."""
    proxies: dict[Node, ProxyStatus] = field(default_factory=dict)
    syncs: dict[str, ServiceSync] = field(default_factory=dict)

    def update(self, update: EdgeUpdate) -> None:
        """Take up what has changed."""
        if update.complete:
            self.proxies, self.syncs, self.complete = {}, {}, True
        for node in update.gone:
            self.proxies.pop(node, None)
        self.proxies.update({(each.node, each.fleet): each for each in update.proxies})
        self.syncs.update(update.syncs)

    def sync(self, service: str, revision: int) -> Sync:
        """How far its proxies are with a service at that revision."""
        known = self.syncs.get(service)
        return known.at(revision) if known else Sync()


class TooManyReport(ValueError):  # noqa: N818
    """More proxies or controllers report than there can be: what is kept of each of them would have no bound."""


class FleetReports:
    """The book of all controllers' proxies, and how far each controller's are. One for a term."""

    def __init__(
        self,
        edge: EdgeReports,
        proxies: ConnectedProxies,
        membership: Membership,
        replica: Replica,
        clock: Clock,
    ) -> None:
        """`edge` and `proxies` are this controller's own."""
        self.book = Book()
        self._begun = clock.monotonic()
        self._tidied = float("-inf")
        self._saved: dict[str, Positions] = {}
        self.intake = ReportIntake(self.book, self._saved, self._decided)
        self._edge = edge
        self._own = proxies
        self._membership = membership
        self._clock = clock
        self._replica = replica
        self._view = replica.view
        self._totals = ReportTotals(clock)
        self._edges: dict[str, _Edge] = {}
        self._safe: tuple[View, dict[str, int]] | None = None
        self._seen: View | None = None

    @property
    def positions(self) -> Positions:
        """Up to which batch the log of each controller was read."""
        return self.intake.positions

    def resume(self, saved: Mapping[str, Positions]) -> None:
        """Go on from the sessions of earlier terms: by service, the positions in them. Before anything is opened."""
        self._saved.update(saved)

    def open(self, instance: str, name: str, acknowledged: int) -> int:
        """A stream of that controller has begun: it is to send the batches after the number that is returned.
        `TooManyReport`."""
        edge = self._edges.get(instance)
        if edge is None:
            if len(self._edges) >= MAX_CONTROLLERS:
                raise TooManyReport(f"{MAX_CONTROLLERS} controllers report already")
            edge = self._edges[instance] = _Edge(name, self._clock.monotonic())
        edge.streams += 1
        edge.name = name
        log.info("controller_joined", controller=name)
        return self.intake.open(instance, acknowledged)

    def close(self, instance: str) -> None:
        """That stream has ended."""
        edge = self._edges[instance]
        edge.streams -= 1
        log.info("controller_left", controller=edge.name)

    def add(self, instance: str, batch: ReportBatch | None, updates: Iterable[EdgeUpdate]) -> int:
        """Take up what came on the stream of that controller. Returns up to which batch everything is safe in saved
        sessions. KeyError if it has no stream; `TooManyReport`, and then nothing of it counts."""
        edge, updates = self._edges[instance], list(updates)
        if max(self._proxies_after(instance, batch), *(_after(edge, each) for each in updates), 0) > MAX_PROXIES:
            raise TooManyReport(f"a controller has at most {MAX_PROXIES} proxies")
        edge.heard_at = self._clock.monotonic()
        if batch:
            self._read(instance, batch)
        for update in updates:
            edge.update(update)
            self._replica.on_proxies()
        return self._safe_position(instance)

    def _proxies_after(self, instance: str, batch: ReportBatch | None) -> int:
        """At most so many proxies of that controller have reported once the batch is read."""
        return self.intake.proxies_of(instance) + len(batch.reports) if batch else 0

    def on_saved(self, sessions: Mapping[str, Session]) -> None:
        """These sessions are saved."""
        self._saved.update({service: session.positions for service, session in sessions.items()})
        self._safe = None

    async def run(self) -> None:
        """Read this controller's own log, and forget controllers that are gone, until cancelled."""
        me, reports = self._membership.instance, self._edge.log
        self._edge.is_read_here = True
        try:
            reports.resume(self.intake.open(me, reports.acknowledged))
            while True:
                self._edge.update_splits()
                while batch := reports.next():
                    self._read_own(me, batch)
                    reports.acknowledge(batch.number, self._safe_position(me))
                    await asyncio.sleep(0)
                self._tidy()
                await asyncio.sleep(FLUSH_EVERY)
        finally:
            self._edge.is_read_here = False

    def sync(self, service: str, revision: int) -> Sync:
        """How far the proxies of all controllers are."""
        others = [edge.sync(service, revision) for edge in self._edges.values() if self._is_heard(edge)]
        sync = joined([self._own.sync(service, revision), *others]).with_cut_off(self._cut_off(service))
        differing = self._totals.differing(service)
        return sync if differing == sync.differing else replace(sync, differing=differing)

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """The proxies of all controllers."""
        own = [replace(each, controller=self._membership.name) for each in self._own.proxies()]
        others = [
            replace(each, controller=edge.name, cut_off=not self._is_heard(edge))
            for edge in self._edges.values()
            for each in (edge.proxies.values() if self._is_heard(edge) else self._unseen(edge))
        ]
        return tuple(sorted((*own, *others), key=lambda each: (each.fleet, each.node, each.controller)))

    def cut_off(self) -> tuple[CutOff, ...]:
        """The controllers that have proxies and are not heard of."""
        return tuple(self._cut_off(""))

    def _cut_off(self, service: str) -> Iterator[CutOff]:
        """Those with proxies of that service, or of any."""
        now, me = self._clock.monotonic(), self._membership.instance
        for edge in self._edges.values():
            if edge.complete and not self._is_heard(edge):
                proxies = len([*self._unseen(edge)])
                if service:
                    proxies = min(proxies, edge.sync(service, 0).total)
                if proxies:
                    yield CutOff(edge.name, proxies, now - edge.heard_at)
        for member in self._membership.known.members:
            edge_known = self._edges.get(member.instance)
            if member.instance != me and member.proxies and not (edge_known and edge_known.complete):
                yield CutOff(member.name, member.proxies, now - self._begun)

    def _unseen(self, edge: _Edge) -> Iterator[ProxyStatus]:
        """The proxies of a controller that is cut off, without those that have come back elsewhere."""
        others = [each for each in self._edges.values() if each is not edge and self._is_heard(each)]
        for node, status in edge.proxies.items():
            if not self._own.is_connected(*node) and not any(node in each.proxies for each in others):
                yield status

    def _is_heard(self, edge: _Edge) -> bool:
        return edge.complete and self._clock.monotonic() - edge.heard_at <= CUT_OFF_AFTER

    def _read_own(self, me: str, batch: ReportBatch) -> None:
        """An error in a report must not end the watch over the rollouts, nor be met again and again."""
        try:
            self._read(me, batch)
        except Exception:
            log.exception("reports_not_read", batch=batch.number)

    def _tidy(self) -> None:
        """Forget the controllers that have no record any more, once their proxies are elsewhere, or are not coming.
        Now and then: it walks over them."""
        if self._clock.monotonic() - self._tidied < TIDY_EVERY:
            return
        self._tidied = self._clock.monotonic()
        known = {each.instance for each in self._membership.known.members}
        for instance, edge in [*self._edges.items()]:
            if edge.streams or instance in known:
                continue
            waited = self._clock.monotonic() - edge.heard_at
            if waited > GONE_AFTER or not any(self._unseen(edge)):
                self.intake.forget(instance)
                for node, _ in edge.proxies:
                    self._totals.forget(node, "")
                del self._edges[instance]
                log.info("controller_gone", controller=edge.name)

    def _read(self, instance: str, batch: ReportBatch) -> None:
        view = self._view()
        if view is not self._seen:
            self._seen = view
            self._totals.on_view(view)
        for proxy, report in batch.reports.items():
            self._totals.add(Reporter(proxy, "", ""), report.loads)
            if report.ended:
                self._totals.forget(proxy, "")
        complete = self.intake.add(instance, batch, self._clock.monotonic())
        if complete:
            self._replica.on_reports(complete)

    def _safe_position(self, instance: str) -> int:
        """The last batch that every session has that is to have it."""
        view = self._view()
        if self._safe is None or self._safe[0] is not view:
            self._safe = view, {}
        known = self._safe[1]
        if instance not in known:
            running = [name for name, state in view.services.items() if state.rollout and state.rollout.running]
            saved = [self._saved[name].get(instance, 0) for name in running if name in self._saved]
            known[instance] = min(saved) if saved else -1
        safe = known[instance]
        return self.intake.positions[instance] if safe < 0 else safe

    def _decided(self, service: str) -> str:
        state = self._view().services.get(service)
        return split_name(state) if state else ""


def _after(edge: _Edge, update: EdgeUpdate) -> int:
    """At most so many proxies are known of that controller once the update is taken up."""
    return len(update.proxies) + (0 if update.complete else len(edge.proxies))
