"""The small world that the model plays in: two services of three versions, and a clock that is told."""

from dataclasses import dataclass

from controller.core.spec import Endpoint, Listen, Policy, Service, Version
from controller.core.view import ServiceState

NAMES = ("free", "asked")
"""`free` climbs by itself; `asked` needs a person's yes before half."""

POLICY = Policy(steps=(500, 2500, 5000), dwell=10.0, warmup=0.0, bake=20.0, deadline=1e9)


@dataclass
class ToldClock:
    """A clock that stands still until it is set. `skew` is how wrong the wall clock is."""

    now: float = 1000.0
    skew: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.skew


def declared(name: str) -> ServiceState:
    """A service as an operator declares it. Each has a port, and so a route table, of its own."""
    policy = POLICY if name == "free" else POLICY.model_copy(update={"approve": (5000,)})
    port = 10_000 + NAMES.index(name)
    versions = tuple(
        Version(name=version, endpoints=(Endpoint(host="127.0.0.1", port=port + 100 * n),))
        for n, version in enumerate(("v1", "v2", "v3"), 1)
    )
    spec = Service(name=name, listen=Listen(port=port), versions=versions, stable="v1", policy=policy)
    return ServiceState(spec=spec, source="", stable="v1")
