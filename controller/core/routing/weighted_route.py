"""The weighted route of one service: how its traffic is split between clusters."""

from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import cluster_name
from controller.core.model.state import FIXED_RESPONSE, ServiceState


class RoutingError(ValueError):
    """The view cannot be served. The message says which service and why."""


@dataclass(frozen=True, slots=True)
class Route:
    """A prefix of one service and how its traffic is split: (cluster, weight), the canary first, total 10 000.

    With `fixed` (status, body) the proxies answer by themselves, and `split` is empty.
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


def weighted_route(state: ServiceState) -> Route:
    spec = state.spec
    if FIXED_RESPONSE in state.weights and spec.fallback:
        return Route(spec.name, spec.prefix, spec.timeout, (), (spec.fallback.status, spec.fallback.body))
    live = {version: weight for version, weight in state.weights.items() if weight > 0}
    for version in live:
        declared = spec.version(version)
        if declared is None or not declared.endpoints:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
    split = tuple((cluster_name(spec.name, version), weight) for version, weight in live.items())
    return Route(spec.name, spec.prefix, spec.timeout, split)
