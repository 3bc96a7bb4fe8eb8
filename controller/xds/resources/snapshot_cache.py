"""View -> Snapshot for each fleet, and never a worse one than before."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.own_addresses import OwnAddress, occupied
from controller.core.routing.route import RoutingError
from controller.core.routing.routing import (
    NONE_SOURCED,
    RoutedService,
    SourcedVersions,
    join_services,
    named_fleets,
    route_service,
)
from controller.core.routing.servable import servable_view
from controller.xds.resources.encoder import Encoder
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.snapshot import Snapshot

NO_SOURCES: Mapping[str, SourcedVersions] = MappingProxyType({})
UNNAMED_FLEETS = "*"
"""Stands for every fleet that no service names; no fleet has this name."""


class SnapshotCache:
    """The snapshots of every fleet at the newest revision.

    A service that cannot be served does not take the others down: it stays as it was served last, or is left out,
    and `problems` says why. A service that listens on one of the controller's `own` addresses, since those changed
    after it was applied, is served and named in `problems`: where the proxies run elsewhere, it works.
    """

    def __init__(self, own: Collection[OwnAddress] = ()) -> None:
        self._own = own
        self.revision = 0
        self.problems: Mapping[str, str] = {}
        self.running: frozenset[str] = frozenset()
        """The services whose rollout is running."""
        self._served: Mapping[str, RoutedService] = {}
        self._named: frozenset[str] = frozenset()
        self._snapshots: dict[str, Snapshot] = {}
        self._encoded = RecentCache()
        self._sourced: Mapping[str, SourcedVersions] = {}

    def update(self, view: View, sourced: Mapping[str, SourcedVersions] = NO_SOURCES) -> bool:
        """Make the snapshots of the next view, or of the same one with other endpoints. False if it is older than the
        last, or another store's empty one.

        `sourced` has, by service, the endpoints of the versions whose sources have been read.
        """
        present = self._snapshots.get(UNNAMED_FLEETS)
        if present and self._would_go_back(view, present.store):
            return False
        self._sourced = sourced
        try:
            self._make_snapshots(view, {})
        except Exception:
            bad = self._unencodable(view)
            if not bad:
                raise
            self._make_snapshots(view, bad)
        return True

    def snapshot(self, fleet: str, *, counting: bool = False) -> Snapshot | None:
        """What that fleet is served; None before the first view.

        `counting`: for proxies that can count how responses end.
        """
        snapshot = self._snapshots.get(fleet if fleet in self._named else UNNAMED_FLEETS)
        return snapshot.counting if snapshot and counting else snapshot

    def fleets_of(self, service: str) -> tuple[str, ...]:
        """The fleets that the served service names; empty if it names none, so that every fleet serves it."""
        served = self._served.get(service)
        return served.state.spec.fleets if served else ()

    def _make_snapshots(self, view: View, bad: Mapping[str, str]) -> None:
        """Serve that view, with the `bad` services as they were."""
        present = self._snapshots.get(UNNAMED_FLEETS)
        sound = {name: state for name, state in view.services.items() if name not in bad}
        rest = replace(view, services=sound, broken={**view.broken, **bad})
        good, problems = servable_view(rest, {name: served.state for name, served in self._served.items()})
        served = {name: self._route(state) for name, state in good.services.items()}
        encoder = Encoder(view.store_id, view.revision, self._encoded)
        named, snapshots = named_fleets(good), {}
        for fleet in (*named, UNNAMED_FLEETS):
            services = [each for each in served.values() if each.state.spec.in_fleet(fleet)]
            # A fleet that was just named continues from what it was served as one of the unnamed.
            before = self._snapshots.get(fleet, present)
            snapshots[fleet] = encoder.snapshot(join_services(view.revision, services), services, before)
        on_own = {
            name: text for name, state in good.services.items() if (text := occupied(state.spec.listen, self._own))
        }
        self.revision, self.problems = view.revision, {**on_own, **problems, **bad}
        self.running = frozenset(n for n, state in view.services.items() if state.rollout and state.rollout.running)
        self._served, self._named, self._snapshots = served, named, snapshots
        self._encoded.evict_unused()

    def _unencodable(self, view: View) -> dict[str, str]:
        """The services that fail by themselves, and how. Each costs an encoding, but only once something has failed."""
        problems = {}
        for name, state in view.services.items():
            try:
                alone = route_service(state, self._sourced.get(name, NONE_SOURCED))
                encoder = Encoder(view.store_id, view.revision, RecentCache())
                encoder.snapshot(join_services(view.revision, [alone]), [alone], None)
            except RoutingError:
                continue  # `servable_view` reports it
            except Exception as error:
                problems[name] = f"it cannot be encoded: {error}"
        return problems

    def _route(self, state: ServiceState) -> RoutedService:
        known, sourced = self._served.get(state.name), self._sourced.get(state.name, NONE_SOURCED)
        same = known and known.state is state and known.sourced == sourced
        return known if known and same else route_service(state, sourced)

    def _would_go_back(self, view: View, store: str) -> bool:
        if view.store_id == store:
            return view.revision < self.revision
        return not view.services
