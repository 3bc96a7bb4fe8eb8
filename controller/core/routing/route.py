"""The routes of one service: which requests, and how they are split between clusters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import ClusterId, Role, cluster_name
from controller.core.model.route_rules import CANARY, STABLE, Condition, PathMatch, RequestHeaders, Retry, Sticky
from controller.core.model.service import Service
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
    retry: Retry = Retry()
    upgrades: tuple[str, ...] = ()
    request_headers: RequestHeaders = RequestHeaders()
    version_header: bool = True

    @staticmethod
    def of(spec: Service) -> "RouteOptions":
        """The options of that service."""
        idle = spec.idle_timeout or max(spec.timeout, IDLE_TIMEOUT)
        return RouteOptions(
            timeout=spec.timeout,
            stream=StreamTimes(idle, spec.max_duration) if spec.streaming else None,
            retry=spec.retry,
            upgrades=spec.upgrades,
            request_headers=spec.request_headers,
            version_header=spec.version_header,
        )


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
    minted: Sticky | None = None
    """The cookie that the response sets: its value is the request's id."""

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
    split = () if fixed else _live_split(spec, state.weights)
    pinned = [] if state.diverted else list(_pinned(state))
    routes = []
    for path in spec.paths:
        routes += [Route(spec.name, path, options, to, conditions=conditions) for conditions, to in pinned]
        live = Route(spec.name, path, options, split, fixed)
        routes += _sticky_routes(live, spec.sticky) if spec.sticky and split else [live]
    return tuple(routes)


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


def cluster_ids(spec: Service) -> Iterator[ClusterId]:
    """Every cluster of a service. They do not depend on its rollout, so a start, a step and a rollback change routes
    alone."""
    targets = {rule.to for rule in spec.match}
    for version in spec.versions:
        if version.endpoints:
            yield ClusterId(spec.name, version.name)
            if targets & {version.name, CANARY, STABLE}:
                yield ClusterId(spec.name, version.name, Role.PINNED)


def _pinned(state: ServiceState) -> Iterator[tuple[tuple[Condition, ...], Split]]:
    """The conditions of each rule, and where its requests go. Where a rule names a part that no version has, or a
    version without endpoints, its requests go the way of all others."""
    rollout = state.rollout
    parts = {STABLE: state.stable}
    if rollout and rollout.running:
        parts = {STABLE: rollout.stable, CANARY: rollout.canary if rollout.weight else rollout.stable}
    for rule in state.spec.match:
        version = state.spec.version(parts.get(rule.to, rule.to))
        if version and version.endpoints:
            yield rule.conditions, ((cluster_name(state.name, version.name, Role.PINNED), TOTAL_WEIGHT),)


def _live_split(spec: Service, weights: dict[str, int]) -> Split:
    live = {version: weight for version, weight in weights.items() if weight > 0}
    for version in live:
        declared = spec.version(version)
        if declared is None or not declared.endpoints:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
    return tuple((cluster_name(spec.name, version), weight) for version, weight in live.items())
