"""Views and services for the tests of the xDS server: the values that a store would give."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.route_rules import PathMatch
from controller.core.model.service import Endpoint, Listen, Policy, Service, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.upstream import Upstream
from controller.core.model.view import View

STORE = "0f9a-store"


def service(
    name: str = "fraud",
    *,
    port: int = 10000,
    versions: Mapping[str, Sequence[str | Endpoint]] | None = None,
    stable: str = "v1",
    canary: tuple[str, int] | None = None,
    hosts: tuple[str, ...] = ("*",),
    prefix: str = "/",
    fleets: tuple[str, ...] = (),
    protocol: str = "http",
    revision: int = 1,
    upstreams: Mapping[str, Upstream] | None = None,
    **options: Any,
) -> ServiceState:
    """A service with its versions and their addresses; `canary` is a version and its weight.

    `upstreams` says of versions how they are reached; `options` are further fields of the service.
    """
    given = versions or {"v1": ["127.0.0.1:9001"], "v2": ["127.0.0.1:9002"]}
    spec = Service(
        name=name,
        fleets=fleets,
        listen=None if "route_config" in options else options.pop("listen", None) or Listen(port=port),
        hosts=hosts,
        paths=options.pop("paths", None) or (PathMatch(path=prefix),),
        protocol=protocol,  # type: ignore[arg-type]
        versions=tuple(
            Version(name=v, endpoints=tuple(map(endpoint, places)), upstream=(upstreams or {}).get(v, Upstream()))
            for v, places in given.items()
        ),
        stable=stable,
        **options,
    )
    rollout = None
    if canary:
        rollout = Rollout(
            id="r1",
            service=name,
            stable=stable,
            canary=canary[0],
            policy=Policy(),
            phase=Phase.PROMOTING if canary[1] == TOTAL_WEIGHT else Phase.PROGRESSING,
            weight=canary[1],
        )
    return ServiceState(spec=spec, source="", stable=stable, rollout=rollout, revision=revision)


def endpoint(place: str | Endpoint) -> Endpoint:
    """`host:port` or `unix:/path` as an endpoint."""
    if isinstance(place, Endpoint):
        return place
    host, _, port = place.rpartition(":")
    return Endpoint(path=port) if host == "unix" else Endpoint(host=host.strip("[]"), port=int(port))


def view(revision: int, *states: ServiceState, store: str = STORE) -> View:
    """A view of those services at that revision."""
    return View(store_id=store, revision=revision, services={state.name: state for state in states})
