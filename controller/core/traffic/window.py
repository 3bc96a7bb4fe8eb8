"""What the judge reads: what happened on both versions since the last tick."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from controller.core.traffic.latency_buckets import UPPER, BucketCounts, with_edges
from controller.core.traffic.readings import Reading

NO_READINGS: Mapping[str, Reading] = MappingProxyType({})
NO_ERRORS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sample:
    """What one version did since the last tick: increments, summed over all proxies.

    `ok` are the responses without error; answered = ok + all errors. Error classes are `5xx` (with
    resets, timeouts and refused connections), `broken` (responses that ended badly after their
    headers) and `4xx`. `latency` holds (upper edge in
    milliseconds, count in that bucket) of the buckets that are not empty, rising; not cumulative
    over the edges. `edges` are the upper edges of all buckets, the empty ones too, rising, usually
    the last one infinite.
    """

    started: int = 0
    ok: int = 0
    errors: Mapping[str, int] = field(default_factory=lambda: NO_ERRORS)
    latency: tuple[tuple[float, int], ...] = ()
    edges: tuple[float, ...] = ()
    in_progress: int | None = None
    """Requests in progress at the end of the tick, by Envoy's own number; None where unknown."""
    cancelled: int = 0
    """Requests that their client gave up on since the last tick; they are no responses."""
    ttft: tuple[tuple[float, int], ...] = ()
    """Times to the first token of the responses that have ended, where they are reported: (upper edge in milliseconds,
    count), usually with the same edges."""

    @classmethod
    def of_buckets(cls, started: int, ok: int, errors: Mapping[str, int], latency: BucketCounts) -> "Sample":
        """With latency counted in Haldane's own buckets."""
        return cls(started, ok, errors, with_edges(latency), UPPER)

    answered: int = field(init=False)
    """Requests that ended, well or badly. Set once: the judge needs it several times a tick."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "answered", self.ok + sum(self.errors.values()))

    @property
    def client_errors(self) -> int:
        """Requests that ended badly by the client's fault (4xx)."""
        return self.errors.get("4xx", 0)

    @property
    def failed(self) -> int:
        """Requests that ended badly by the server's fault: all errors but the client's."""
        return self.answered - self.ok - self.errors.get("4xx", 0)


def added_up(samples: Iterable[Sample | None]) -> Sample | None:
    """The sum of what one version did at several groups of proxies; None if none reported it."""
    reported = [sample for sample in samples if sample is not None]
    if len(reported) < 2:
        return reported[0] if reported else None
    errors: Counter[str] = Counter()
    latency: Counter[float] = Counter()
    ttft: Counter[float] = Counter()
    for sample in reported:
        errors.update(sample.errors)
        latency.update(dict(sample.latency))
        ttft.update(dict(sample.ttft))
    in_progress = [sample.in_progress for sample in reported if sample.in_progress is not None]
    return Sample(
        started=sum(sample.started for sample in reported),
        ok=sum(sample.ok for sample in reported),
        errors=dict(errors),
        latency=tuple(sorted(latency.items())),
        edges=max((sample.edges for sample in reported), key=len),
        in_progress=sum(in_progress) if in_progress else None,
        cancelled=sum(sample.cancelled for sample in reported),
        ttft=tuple(sorted(ttft.items())),
    )


@dataclass(frozen=True, slots=True)
class Stratum:
    """What happened at one group of proxies that serve one split. A side is `None` without a
    report."""

    name: str
    stable: Sample | None
    canary: Sample | None


@dataclass(frozen=True, slots=True)
class Window:
    """What happened on both versions since the last tick. A missing side is `None` (no report),
    never zeros.

    `at` is seconds on a monotonic clock; `weight` is the canary's, in basis points, that was served
    meanwhile.
    """

    at: float
    weight: int
    stable: Sample | None
    canary: Sample | None
    custom: Mapping[str, Reading] = field(default_factory=lambda: NO_READINGS)
    """By custom metric: what was read since the last tick; most ticks nothing is."""
    strata: tuple[Stratum, ...] = ()
    """Where proxies serve different splits: the same traffic by group of proxies."""

    @classmethod
    def of_strata(cls, at: float, weight: int, strata: "tuple[Stratum, ...]") -> "Window":
        """The window of traffic that is told apart by group of proxies."""
        if len(strata) == 1:
            return cls(at, weight, strata[0].stable, strata[0].canary)
        stable = added_up(each.stable for each in strata)
        return cls(at, weight, stable, added_up(each.canary for each in strata), strata=strata)

    @property
    def has_reports(self) -> bool:
        """Whether any version was reported."""
        return self.stable is not None or self.canary is not None

    @property
    def groups(self) -> tuple[Stratum, ...]:
        """The strata, or everything as one."""
        return self.strata or (Stratum("", self.stable, self.canary),)
