"""Endpoints that get no requests: what a verdict says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.core.base.units import counted
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Verdict
from controller.core.traffic.endpoint_health import EndpointHealth


@dataclass(frozen=True, slots=True)
class EndpointsOutDescription:
    """How many of a version's endpoints get no requests from some proxy."""

    version: str
    health: EndpointHealth

    def describe(self) -> str:
        """The numbers, and what follows."""
        out = f"{self.health.total - self.health.fewest} of {counted(self.health.total, 'endpoint')} of {self.version}"
        return f"{out} get no requests: they fail their health checks or are ejected, and are not judged"


def with_endpoints_out(verdict: Verdict, endpoints: Mapping[str, EndpointHealth | None]) -> Verdict:
    """The verdict, with a reason more for each version of which some endpoints are out.

    They come last and change nothing: neither the outcome nor what the verdict rests on.
    """
    out = tuple(
        Reason(ReasonCode.ENDPOINTS_OUT, EndpointsOutDescription(version, health))
        for version, health in endpoints.items()
        if health and health.fewest < health.total
    )
    return replace(verdict, findings=(*verdict.findings, *out)) if out else verdict
