"""View -> Snapshot for each fleet, and never a worse one than before."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.core.model.service_state import ServiceState
from controller.core.model.view import View, has_same_services
from controller.core.routing.clashes import Claims
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
from controller.xds.resources.encoder import EncodedFleet, Encoder
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
        self._fleets: dict[str, EncodedFleet] = {}
        self._claims = Claims()
        self._view = View("", 0, {})
        self._encoded = RecentCache()
        self._sourced: Mapping[str, SourcedVersions] = {}

    def update(self, view: View, sourced: Mapping[str, SourcedVersions] = NO_SOURCES) -> bool:
        """Make the snapshots of the next view, or of the same one with other endpoints. False if it is older than the
        last, or another store's empty one.

        `sourced` has, by service, the endpoints of the versions whose sources have been read.
        """
        present = self._fleets.get(UNNAMED_FLEETS)
        if present and self._would_go_back(view, present.snapshot.store):
            return False
        same_endpoints = sourced == self._sourced
        self._sourced = sourced
        if present and same_endpoints and not self.problems and self._says_nothing_new(view):
            self.revision = view.revision
            self._fleets = {name: each.at(view.revision) for name, each in self._fleets.items()}
            return True
        try:
            self._make_snapshots(view, {})
        except Exception:
            bad = self._unencodable(view)
            if not bad:
                raise
            self._make_snapshots(view, bad)
        self._view = view
        return True

    def snapshot(self, fleet: str, *, counting: bool = False) -> Snapshot | None:
        """What that fleet is served; None before the first view.

        `counting`: for proxies that can count how responses end.
        """
        served = self._fleets.get(fleet if fleet in self._named else UNNAMED_FLEETS)
        if served is None:
            return None
        return served.snapshot.counting if counting else served.snapshot

    def fleets_of(self, service: str) -> tuple[str, ...]:
        """The fleets that the served service names; empty if it names none, so that every fleet serves it."""
        served = self._served.get(service)
        return served.state.spec.fleets if served else ()

    def _make_snapshots(self, view: View, bad: Mapping[str, str]) -> None:
        """Serve that view, with the `bad` services as they were."""
        present = self._fleets.get(UNNAMED_FLEETS)
        sound = {name: state for name, state in view.services.items() if name not in bad} if bad else view.services
        rest = replace(view, services=sound, broken={**view.broken, **bad})
        before = {name: served.state for name, served in self._served.items()}
        good, problems = servable_view(rest, before, self._claims)
        served = {name: self._route(name, state) for name, state in good.services.items()}
        encoder = Encoder(view.store_id, view.revision, self._encoded)
        named, fleets = named_fleets(good), {}
        for fleet in (*named, UNNAMED_FLEETS):
            services = {n: each for n, each in served.items() if each.state.spec.in_fleet(fleet)} if named else served
            # A fleet that was just named continues from what it was served as one of the unnamed.
            known = self._fleets.get(fleet, present)
            routing = join_services(view.revision, services, known.routing if known else None)
            fleets[fleet] = encoder.fleet(routing, known)
        self.revision, self.problems = view.revision, {**self._on_own(good), **problems, **bad}
        self.running = frozenset(n for n, state in view.services.items() if state.rollout and state.rollout.running)
        self._served, self._named, self._fleets = served, named, fleets
        self._encoded.evict_unused()

    def _on_own(self, view: View) -> dict[str, str]:
        """The services that listen on one of the controller's own addresses, and on which."""
        ports = {each.port for each in self._own}
        listens = {name: listen for name, state in view.services.items() if (listen := state.spec.listen)}
        near = {name: listen for name, listen in listens.items() if listen.port in ports}
        return {name: text for name, listen in near.items() if (text := occupied(listen, self._own))}

    def _unencodable(self, view: View) -> dict[str, str]:
        """The services that fail by themselves, and how. Each costs an encoding, but only once something has failed."""
        problems = {}
        for name, state in view.services.items():
            try:
                alone = route_service(state, self._sourced.get(name, NONE_SOURCED))
                encoder = Encoder(view.store_id, view.revision, RecentCache())
                encoder.fleet(join_services(view.revision, {name: alone}), None)
            except RoutingError:
                continue  # `servable_view` reports it
            except Exception as error:
                problems[name] = f"it cannot be encoded: {error}"
        return problems

    def _route(self, name: str, state: ServiceState) -> RoutedService:
        known, sourced = self._served.get(name), self._sourced.get(name, NONE_SOURCED)
        if known and known.state is state and (known.sourced is sourced or known.sourced == sourced):
            return known
        return route_service(state, sourced)

    def _says_nothing_new(self, view: View) -> bool:
        """Whether it has the services of the last one, as after a freeze."""
        last = self._view
        same_store = view.store_id == last.store_id
        return same_store and not view.broken and not last.broken and has_same_services(last, view)

    def _would_go_back(self, view: View, store: str) -> bool:
        if view.store_id == store:
            return view.revision < self.revision
        return not view.services
