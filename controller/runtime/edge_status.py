"""What has changed at this controller's proxies, for the one that decides."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.edges import EdgeUpdate, Node, ServiceSync
from controller.ports.fleet import Fleet, ProxyStatus

LIST_EVERY = 2.0
"""Seconds between two walks over all proxies and services: only what moves is told sooner."""
TOGETHER = 200
"""Proxies in one update: some 100 KB."""


class EdgeStatus:
    """Finds what has changed since the last update. Mutable; one for each stream."""

    def __init__(self, fleet: Fleet, view: Callable[[], View], clock: Clock) -> None:
        """`fleet` are the proxies that are connected here."""
        self._fleet = fleet
        self._view = view
        self._clock = clock
        self._proxies: dict[Node, ProxyStatus] = {}
        self._syncs: dict[str, ServiceSync] = {}
        self._moving: set[str] = set()
        """The services with a running rollout, or with one whose end has yet to reach every proxy: rollbacks, too, are
        waited for."""
        self._listed_at = float("-inf")

    def everything(self) -> Iterator[EdgeUpdate]:
        """All there is, for a new stream: the first update replaces what was known."""
        self._proxies, self._syncs = {}, {}
        first, *rest = [*self._walk()] or [EdgeUpdate()]
        yield replace(first, complete=True)
        yield from rest

    def changes(self) -> Iterator[EdgeUpdate]:
        """What has changed."""
        if self._clock.monotonic() - self._listed_at >= LIST_EVERY:
            yield from self._walk()
        elif syncs := self._changed_syncs(moving_only=True):
            yield EdgeUpdate(syncs=syncs)

    def _walk(self) -> Iterator[EdgeUpdate]:
        self._listed_at = self._clock.monotonic()
        services = self._view().services
        self._syncs = {name: known for name, known in self._syncs.items() if name in services}
        self._moving &= services.keys()
        syncs = self._changed_syncs(moving_only=False)
        present = {(each.node, each.fleet): each for each in self._fleet.proxies()}
        changed = [each for node, each in present.items() if _is_news(self._proxies.get(node), each)]
        gone = tuple(self._proxies.keys() - present.keys())
        kept = {node: status for node, status in self._proxies.items() if node in present}
        self._proxies = {**kept, **{(each.node, each.fleet): each for each in changed}}
        for start in range(0, len(changed), TOGETHER):
            yield EdgeUpdate(tuple(changed[start : start + TOGETHER]), gone, syncs)
            gone, syncs = (), {}
        if gone or syncs:
            yield EdgeUpdate(gone=gone, syncs=syncs)

    def _changed_syncs(self, *, moving_only: bool) -> dict[str, ServiceSync]:
        changed: dict[str, ServiceSync] = {}
        for name, state in self._view().services.items():
            running = state.rollout is not None and state.rollout.running
            if moving_only and not running and name not in self._moving:
                continue
            now = ServiceSync(state.revision, self._fleet.sync(name, state.revision))
            if running:
                self._moving.add(name)
            elif now.sync.complete:
                self._moving.discard(name)
            if self._syncs.get(name) != now:
                changed[name] = self._syncs[name] = now
        return changed


def _is_news(before: ProxyStatus | None, now: ProxyStatus) -> bool:
    """Whether anything but its number of requests has changed; that is told when a tenth of it is new."""
    if before is None:
        return True
    if now.requests > 1.1 * before.requests + 10:
        return True
    return replace(now, requests=before.requests, failed=before.failed) != before
