"""The routes of one service: which requests, and how they are split between clusters."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import ClusterId, Role, cluster_name, cluster_parts
from controller.core.model.route_rules import CANARY, STABLE, Condition, PathMatch, RequestHeaders, Retries, Sticky
from controller.core.model.service import Service, Version, all_addresses
from controller.core.model.service_state import FIXED_RESPONSE, ServiceState

IDLE_TIMEOUT = 60.0
"""Seconds for which a stream may be silent unless its service says otherwise, or as long as its timeout."""


Split = tuple[tuple[str, int], ...]
"""(cluster, weight in basis points), the canary first."""


REQUEST_ID = "x-request-id"
"""Envoy gives one to each request that comes without."""


class RoutingError(ValueError):
    """The view cannot be served. The message names the service and the reason."""


class StreamTimes(NamedTuple):
    """Of a response that is a stream, in seconds: how long it may be silent, and how long it may take (None: as long as
    it does)."""

    idle_timeout: float
    max_duration: float | None = None


class RouteOptions(NamedTuple):
    """What Envoy does with the requests of a route, whichever cluster they go to.

    `timeout` in seconds is of the whole response; of a stream it is until the headers, and `stream` has the rest.
    """

    timeout: float
    stream: StreamTimes | None = None
    retry: Retries = Retries()
    several_endpoints: bool = False
    """Whether a retry can go to another endpoint of its version."""
    shield: bool = False
    upgrades: tuple[str, ...] = ()
    request_headers: RequestHeaders = RequestHeaders()
    version_header: bool = True
    envoy: str = ""
    """Envoy's own fields, as JSON: see `EnvoyFields`."""

    @staticmethod
    def of(spec: Service) -> "RouteOptions":
        """The options of that service."""
        idle = spec.idle_timeout or max(spec.timeout, IDLE_TIMEOUT)
        return RouteOptions(
            timeout=spec.timeout,
            stream=StreamTimes(idle, spec.max_duration) if spec.streaming else None,
            retry=spec.retry,
            several_endpoints=any(map(_has_several, spec.versions)),
            shield=spec.shield,
            upgrades=spec.upgrades,
            request_headers=spec.request_headers,
            version_header=spec.version_header,
            envoy=spec.envoy.route,
        )


def _has_several(version: Version) -> bool:
    """Whether a version has, or its one host name, its source or a cluster of the operator's own may have, more than
    one address."""
    return bool(version.cluster or version.source) or len(version.endpoints) > 1 or not all_addresses(version.endpoints)


class HashSource(NamedTuple):
    """What of a request is hashed. `name` is that of the header or the cookie."""

    source: Literal["header", "cookie", "source_ip"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Some requests of one service and how they are split: those of a path for which every condition holds.

    `split` is (cluster, weight in basis points), the canary first; the weights are positive and total 10 000, anything
    else raises RoutingError. With `fixed` (status, body) Envoy responds itself, and `split` is empty.
    """

    service: str
    match: PathMatch
    options: RouteOptions
    split: Split
    fixed: tuple[int, str] | None = None
    conditions: tuple[Condition, ...] = ()
    hash_on: HashSource | None = None
    """What of a request decides on its share; None: a draw. The total is always the same and the canary comes first, so
    a share that rises moves no request back to stable."""
    mirror: tuple[str, int] | None = None
    """The cluster that gets copies of a share of the requests, and the share in basis points."""
    minted: Sticky | None = None
    """The cookie that the response sets: its value is the request's id."""
    own: tuple[tuple[str, str], ...] = ()
    """The clusters among them that are the operator's own, and the version that each is."""

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster of Haldane's that the route names."""
        own = {name for name, _ in self.own}
        return (*(name for name, _ in self.split if name not in own), *(self.mirror[:1] if self.mirror else ()))

    def __post_init__(self) -> None:
        if self.fixed and not self.split:
            return
        if sum(weight for _, weight in self.split) != TOTAL_WEIGHT or any(weight <= 0 for _, weight in self.split):
            raise RoutingError(f"{self.service}: weights {dict(self.split)} are not positive parts of {TOTAL_WEIGHT}")


def routes_of(state: ServiceState) -> tuple[Route, ...]:
    """The routes of a service as it stands, in the order in which they are tried.

    RoutingError if a version that carries traffic has no endpoints.
    """
    spec = state.spec
    options = RouteOptions.of(spec)
    fixed = (spec.fallback.status, spec.fallback.body) if FIXED_RESPONSE in state.weights and spec.fallback else None
    split = () if fixed else _live_split(state)
    pinned = [] if state.diverted else list(_pinned(state))
    own = tuple((version.cluster, version.name) for version in spec.versions if version.cluster)
    routes = []
    for path in spec.paths:
        routes += [Route(spec.name, path, options, to, conditions=conditions) for conditions, to in pinned]
        live = Route(spec.name, path, options, split, fixed, mirror=_mirror(state), own=own)
        routes += _sticky_routes(live, spec.sticky) if spec.sticky and split else [live]
    return tuple(routes)


def _mirror(state: ServiceState) -> tuple[str, int] | None:
    """Where copies go: to the canary in a shadow step, else where the service says. Never to a version that has weight,
    whose own requests they would compete with."""
    spec, mirror, rollout = state.spec, state.spec.mirror, state.rollout
    if state.diverted:
        return None
    allowed = spec.idempotent and not spec.own_clusters  # a file may say so after the start
    if rollout and rollout.running and rollout.copies and allowed:
        return cluster_name(state.name, rollout.canary, Role.MIRROR), rollout.copies
    if mirror is None or state.weights.get(mirror.to):
        return None
    return cluster_name(state.name, mirror.to, Role.MIRROR), mirror.share


def _sticky_routes(live: Route, sticky: Sticky) -> list[Route]:
    """The routes of everybody who is not pinned, if users keep their version.

    Envoy does not set a cookie when it chooses a cluster by it. So who has none is placed by the id of the request,
    which becomes the cookie.
    """
    if sticky.source != "cookie":
        return [replace(live, hash_on=HashSource(sticky.source, sticky.name))]
    known = Condition(source="cookie", name=sticky.name, value=None)
    return [
        replace(live, conditions=(known,), hash_on=HashSource("cookie", sticky.name)),
        replace(live, hash_on=HashSource("header", REQUEST_ID), minted=sticky),
    ]


def cluster_ids(state: ServiceState) -> Iterator[ClusterId]:
    """Every cluster of a service. They depend on which version is stable, and else not on its rollout: a start, a step
    and a rollback change routes alone."""
    spec, stable, rollout = state.spec, current_stable(state), state.rollout
    shadowed = spec.policy.shadow or (rollout and rollout.running and rollout.policy.shadow)
    targets = {rule.to for rule in spec.match}
    for version in spec.versions:
        if version.has_servers:
            yield ClusterId(spec.name, version.name)
            if targets & {version.name, CANARY, STABLE}:
                yield ClusterId(spec.name, version.name, Role.PINNED)
            if (spec.mirror and spec.mirror.to == version.name) or (shadowed and version.name != stable):
                yield ClusterId(spec.name, version.name, Role.MIRROR)
            if spec.shield:
                yield ClusterId(spec.name, version.name, Role.SHIELD if version.name == stable else Role.SHIELDED)


@by_identity
def own_clusters(state: ServiceState) -> tuple[tuple[str, str], ...]:
    """Each cluster of the operator's own, and by what name it is known here: that of the version's live cluster."""
    own = (version for version in state.spec.versions if version.cluster)
    return tuple((version.cluster, cluster_name(state.name, version.name)) for version in own)


def proxyless_routes(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes as gRPC can have them without a proxy: it knows no query parameters, cookies, second ways, and
    copies."""
    known = (route for route in routes if all(each.source == "header" for each in route.conditions))
    return tuple(replace(route, split=tuple(map(_first_way, route.split)), mirror=None) for route in known)


def _first_way(share: tuple[str, int]) -> tuple[str, int]:
    name, weight = share
    parts = cluster_parts(name)
    return (cluster_name(*parts[:2]) if parts and parts.role is Role.SHIELDED else name), weight


def current_stable(state: ServiceState) -> str:
    """The version that is stable now: that of the rollout while one runs."""
    rollout = state.rollout
    return rollout.stable if rollout and rollout.running else state.stable


def _pinned(state: ServiceState) -> Iterator[tuple[tuple[Condition, ...], Split]]:
    """The conditions of each rule, and where its requests go. Where a rule names a part that no version has, or a
    version without endpoints, its requests go the way of all others."""
    rollout = state.rollout
    parts = {STABLE: current_stable(state)}
    if rollout and rollout.running:
        parts[CANARY] = rollout.canary if rollout.weight else rollout.stable
    for rule in state.spec.match:
        version = state.spec.version(parts.get(rule.to, rule.to))
        if version and version.has_servers:
            yield rule.conditions, ((cluster_name(state.name, version.name, Role.PINNED), TOTAL_WEIGHT),)


def _live_split(state: ServiceState) -> Split:
    spec, split = state.spec, []
    for version, weight in state.weights.items():
        if not weight:
            continue
        declared = spec.version(version)
        if declared is None or not declared.has_servers:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
        name = declared.cluster or cluster_name(spec.name, version, _live_role(state, version))
        split.append((name, weight))
    return tuple(split)


def _live_role(state: ServiceState, version: str) -> Role:
    """Requests to the canary of a shielded service have a second way, while it is one."""
    rollout = state.rollout
    if not state.spec.shield or state.diverted or not rollout or not rollout.running or version != rollout.canary:
        return Role.LIVE
    stable = state.spec.version(rollout.stable)
    return Role.SHIELDED if stable and stable.has_servers else Role.LIVE
