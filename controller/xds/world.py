"""View -> Snapshot, for each fleet, and never a worse one than before."""

from collections.abc import Mapping

from controller.core.routing import Served, fleets, join, servable, serve
from controller.core.view import ServiceState, View
from controller.xds.encode import Cache, Encoder
from controller.xds.snapshot import Snapshot

OTHERS = "*"
"""Stands for every fleet that no service names; no fleet has this name."""


class World:
    """The snapshots of every fleet at the newest revision.

    A service that cannot be served does not take the others down: it stays as it was served last, or is left out,
    and `problems` says why.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.problems: Mapping[str, str] = {}
        self.running: frozenset[str] = frozenset()
        """The services whose rollout is running."""
        self._served: Mapping[str, Served] = {}
        self._named: frozenset[str] = frozenset()
        self._snapshots: dict[str, Snapshot] = {}
        self._cache = Cache()

    def turn(self, view: View) -> bool:
        """Take the next view: whether it was taken. Not if it is older than the last, or another store's empty one."""
        present = self._snapshots.get(OTHERS)
        if present and self._strange(view, present.store):
            return False
        good, problems = servable(view, {name: served.state for name, served in self._served.items()})
        served = {name: self._serve(state) for name, state in good.services.items()}
        encoder = Encoder(view.store_id, view.revision, self._cache)
        named, snapshots = fleets(good), {}
        for fleet in (*named, OTHERS):
            services = [each for each in served.values() if each.state.spec.in_fleet(fleet)]
            # A fleet that was just named goes on from what it was served as one of the others.
            before = self._snapshots.get(fleet, present)
            snapshots[fleet] = encoder.snapshot(join(view.revision, services), services, before)
        self.revision, self.problems = view.revision, problems
        self.running = frozenset(n for n, state in view.services.items() if state.rollout and state.rollout.running)
        self._served, self._named, self._snapshots = served, named, snapshots
        self._cache.forget()
        return True

    def snapshot(self, fleet: str) -> Snapshot | None:
        """What that fleet is served; None before the first view."""
        return self._snapshots.get(fleet if fleet in self._named else OTHERS)

    def _serve(self, state: ServiceState) -> Served:
        held = self._served.get(state.name)
        return held if held and held.state is state else serve(state)

    def _strange(self, view: View, store: str) -> bool:
        if view.store_id == store:
            return view.revision < self.revision
        return not view.services
