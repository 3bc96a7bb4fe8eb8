"""One controller, whether or not it decides: the view that it serves and the traffic that is reported to it.

The operators' APIs look through it (`ports.Observatory`). While this replica decides, the decider of the term is
attached: it adds its verdicts, and is woken by whatever happens here.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import replace

from controller.core.base.identity_cache import by_identity
from controller.core.model.cluster_names import cluster_name
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import Entry
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.route import cluster_ids, own_clusters
from controller.core.traffic.book import Book
from controller.core.traffic.reports import Traffic
from controller.ports.clock import Clock
from controller.ports.endpoint_sources import NoSources, SourceStatuses
from controller.ports.observatory import Live
from controller.ports.service_files import FilesStatus
from controller.runtime.decider import Decider
from controller.runtime.freeze_expiry import FreezeExpiry

LONGEST_QUIET = 1.0
"""Seconds after which `next` returns without news: traffic changes also where no decider announces its cycles."""


class Replica:
    """What every controller knows. Implements `Observatory`."""

    def __init__(self, book: Book, clock: Clock, sources: SourceStatuses | None = None) -> None:
        self._book = book
        self._sources = sources or NoSources()
        self._files = FilesStatus()
        self._judged = book
        """That of the decider while this replica decides: it may have other controllers' proxies too."""
        self._sourced: tuple[Set[str], Set[str]] = frozenset(), frozenset()
        self._clock = clock
        self._view = View("", 0, {})
        self._freeze_expiry = FreezeExpiry(clock)
        self._decider: Decider | None = None
        self._news = 0
        self._announced = asyncio.Event()

    @property
    def decides(self) -> bool:
        """Whether this replica decides."""
        return self._decider is not None

    def view(self) -> View:
        """The view that is being served."""
        return self._view

    async def refresh(self, services: Collection[str]) -> None:
        """What is known here is new."""

    def expired_freezes(self) -> Iterable[Freeze]:
        """The freezes in force whose time is over."""
        return self._freeze_expiry.over()

    def live(self, service: str) -> Live:
        """What is known of a service; empty for one that is not in the view."""
        state = self._view.services.get(service)
        if state is None:
            return Live()
        now, wall = self._clock.monotonic(), self._clock.wall()
        versions = [version.name for version in state.spec.versions]
        book = self._judged
        traffic: Mapping[str, Traffic] = {v: book.traffic(service, v, now) for v in versions}
        unjudged = book.unjudged(service, now)
        health = {version: book.endpoint_health(service, version, now) for version in versions}
        endpoints = {version: each for version, each in health.items() if each and each.total}
        live = self._decider.live(state, traffic, wall) if self._decider else Live(traffic=traffic, updated_at=wall)
        return replace(
            live,
            unjudged=unjudged,
            endpoints=endpoints,
            sources=self._sources.statuses(service),
            shared=self._sources.shared(service),
        )

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        return self._judged.no_healthy_upstream(service, version, self._clock.monotonic())

    def lacks_upstream(self, service: str, version: str) -> bool | None:
        """Whether some proxy has no healthy endpoint of this version; None while none reports on the service."""
        return self._judged.lacks_upstream(service, version, self._clock.monotonic())

    def files(self) -> FilesStatus:
        """What became of the service files of a folder; nothing is known while this replica does not decide."""
        return self._files

    def on_files(self, status: FilesStatus) -> None:
        """Something else became of them."""
        if status != self._files:
            self._files = status
            self.announce()

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen`, a second at most; the number for the next call."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_QUIET):
                while self._news <= seen:
                    await self._announced.wait()
        return self._news

    def on_view(self, view: View) -> None:
        """A new view is being served: count for its versions, and let the decider go on from it."""
        before, self._view = self._view, view
        self._freeze_expiry.on_view(view)
        if _have_other_versions(before, view):
            self._track_clusters(self._book)
            if self._judged is not self._book:
                self._track_clusters(self._judged)
        if self._decider:
            self._decider.on_view(view)
        else:
            self.announce()

    def track_sources(self, empty: Set[str], unread: Set[str]) -> None:
        """From now on the clusters in `empty` are known to have no endpoint, before a proxy says so, and those in
        `unread` are not known to have one unless a proxy says so."""
        self._sourced = empty, unread
        for book in (self._book, self._judged):
            book.track_sources(empty, unread)

    def wake(self, services: Iterable[str]) -> None:
        """Something happened to these services: the decider ticks them at once."""
        if self._decider:
            self._decider.wake(services)

    def on_reports(self, services: Iterable[str]) -> None:
        """The windows of these services are complete: the decider ticks those for which that can change anything."""
        if self._decider:
            self._decider.on_reports(services)

    def on_endpoints(self, services: Iterable[str]) -> None:
        """Something else is known of the sources of these services: the decider ticks them at once."""
        self.wake(services)
        self.announce()

    def on_proxies(self) -> None:
        """Proxies have ACKed or NACKed, come or gone: the decider ticks soon what waits for proxies."""
        if self._decider:
            self._decider.on_proxies()

    def write_line(self, entry: Entry) -> None:
        """Have the decider write a line into the ledger soon. Without one here nothing is written."""
        if self._decider:
            self._decider.write_line(entry)

    def announce(self) -> None:
        """There is news for everyone who waits in `next`."""
        self._news += 1
        self._announced.set()
        self._announced = asyncio.Event()

    @contextlib.contextmanager
    def deciding(self, decider: Decider, book: Book | None = None) -> Iterator[None]:
        """This replica decides, with that decider, until the end of the block: on what is reported into that book, its
        own if none is named."""
        book = book or self._book
        for service in self._view.services:
            book.discard_window(service)  # reported before the term: at which weight is not known
        self._decider, self._judged = decider, book
        self._track_clusters(book)
        try:
            yield
        finally:
            self._decider, self._judged = None, self._book
            self.announce()

    def _track_clusters(self, book: Book) -> None:
        states = self._view.services.values()
        own = {name: known for state in states for name, known in own_clusters(state)}
        book.track_clusters((name for state in states for name in _cluster_names(state)), own)
        book.track_sources(*self._sourced)


@by_identity
def _cluster_names(state: ServiceState) -> tuple[str, ...]:
    """The clusters of a service. Views share the values of what did not change between them."""
    return tuple(cluster_name(*cluster) for cluster in cluster_ids(state))


def _have_other_versions(before: View, view: View) -> bool:
    """Whether some service came or went, or has other versions: a step of weight is none of that."""
    if before.services.keys() != view.services.keys():
        return True
    changed = ((before.services[name], state) for name, state in view.services.items())
    return any(old is not new and _is_counted_otherwise(old, new) for old, new in changed)


def _is_counted_otherwise(old: ServiceState, new: ServiceState) -> bool:
    """Whether a service has other clusters, or Envoy has others for them."""
    same = set(_cluster_names(old)) == set(_cluster_names(new))
    return not same or set(own_clusters(old)) != set(own_clusters(new))
