"""The routes of one service: which requests, and how they are split between clusters."""

from dataclasses import dataclass
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import cluster_name
from controller.core.model.route_rules import PathMatch, RequestHeaders, Retry
from controller.core.model.service import Service
from controller.core.model.service_state import FIXED_RESPONSE, ServiceState

IDLE_TIMEOUT = 60.0
"""Seconds for which a stream may be silent unless its service says otherwise, or as long as its timeout."""


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


@dataclass(frozen=True, slots=True)
class Route:
    """Some requests of one service, and how they are split.

    `split` is (cluster, weight in basis points), the canary first; the weights are positive and total 10 000, anything
    else raises RoutingError. With `fixed` (status, body) Envoy responds itself, and `split` is empty.
    """

    service: str
    match: PathMatch
    options: RouteOptions
    split: tuple[tuple[str, int], ...]
    fixed: tuple[int, str] | None = None

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
    return tuple(Route(spec.name, path, options, split, fixed) for path in spec.paths)


def _live_split(spec: Service, weights: dict[str, int]) -> tuple[tuple[str, int], ...]:
    live = {version: weight for version, weight in weights.items() if weight > 0}
    for version in live:
        declared = spec.version(version)
        if declared is None or not declared.endpoints:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
    return tuple((cluster_name(spec.name, version), weight) for version, weight in live.items())
