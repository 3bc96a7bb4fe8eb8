"""The weighted route of one service: how its traffic is split between clusters."""

from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import cluster_name
from controller.core.model.service_state import FIXED_RESPONSE, ServiceState


class RoutingError(ValueError):
    """The view cannot be served. The message names the service and the reason."""


@dataclass(frozen=True, slots=True)
class WeightedRoute:
    """A prefix of one service and how its traffic is split.

    `split` is (cluster, weight in basis points), the canary first; the weights are positive and total 10 000, anything
    else raises RoutingError. With `fixed` (status, body) Envoy responds itself, and `split` is empty. `timeout` is in
    seconds.
    """

    service: str
    prefix: str
    timeout: float
    split: tuple[tuple[str, int], ...]
    fixed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        if self.fixed and not self.split:
            return
        if sum(weight for _, weight in self.split) != TOTAL_WEIGHT or any(weight <= 0 for _, weight in self.split):
            raise RoutingError(f"{self.service}: weights {dict(self.split)} are not positive parts of {TOTAL_WEIGHT}")


def weighted_route(state: ServiceState) -> WeightedRoute:
    """The route of a service as it stands. RoutingError if a version that carries traffic has no endpoints."""
    spec = state.spec
    if FIXED_RESPONSE in state.weights and spec.fallback:
        return WeightedRoute(spec.name, spec.prefix, spec.timeout, (), (spec.fallback.status, spec.fallback.body))
    live = {version: weight for version, weight in state.weights.items() if weight > 0}
    for version in live:
        declared = spec.version(version)
        if declared is None or not declared.endpoints:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
    split = tuple((cluster_name(spec.name, version), weight) for version, weight in live.items())
    return WeightedRoute(spec.name, spec.prefix, spec.timeout, split)
