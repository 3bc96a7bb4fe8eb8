"""The reasons of the watch over stable in words, while no rollout runs. Rates are shares in
0..1."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StableBlindDescription:
    """No report on stable for so many seconds."""

    stable: str
    seconds: float

    def describe(self) -> str:
        """For how long."""
        return f"blind: no report on {self.stable} for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class StableIdleDescription:
    """Stable has no requests."""

    stable: str

    def describe(self) -> str:
        """Which version."""
        return f"{self.stable} gets no traffic"


@dataclass(frozen=True, slots=True)
class BaselineDescription:
    """Stable's recent rate of errors beside its usual one; `incident`: it is clearly worse."""

    stable: str
    recent: float
    usual: float
    incident: bool

    def describe(self) -> str:
        """Both rates."""
        rates = f"{self.stable}: {self.recent:.1%} recent errors, {self.usual:.2%} usually"
        return f"worse than its own baseline: {rates}" if self.incident else f"as usual: {rates}"


@dataclass(frozen=True, slots=True)
class ErrorLimitDescription:
    """Stable breaks the policy's absolute limit of errors."""

    stable: str
    recent: float
    limit: float

    def describe(self) -> str:
        """The rate and the limit."""
        rates = f"{self.recent:.1%} of its responses are errors, {self.limit:.2%} are allowed"
        return f"{self.stable} breaks errors.max: {rates}"


@dataclass(frozen=True, slots=True)
class LatencyLimitDescription:
    """Stable breaks the policy's absolute limit of p99, in seconds."""

    stable: str
    limit: float

    def describe(self) -> str:
        """The limit."""
        return f"{self.stable} breaks latency.p99: more than 1 % of its answers take longer than {self.limit:g} s"
