"""One window of a recording: what happened on both versions, and its stored form, in which it is
held and merged."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from controller.core.traffic.latency_buckets import UPPER, bucket_of, with_edges
from controller.core.traffic.readings import Reading, joined, plain, read_plain
from controller.core.traffic.window import NO_ERRORS, NO_READINGS, Sample, Stratum, Window

SHORT = 1.0
"""Gaps shorter than this, in seconds, are normal report spacing, not silence."""


class WindowRecord(NamedTuple):
    """A window: what happened from `since` to `at`, in seconds of observation since the rollout's
    first tick.

    `wall` is Unix seconds at `at`, for people; `weight` is the canary's, in basis points.
    """

    since: float
    at: float
    wall: float
    weight: int
    stable: Sample | None
    canary: Sample | None
    custom: Mapping[str, Reading] = NO_READINGS
    """By custom metric: what was read of it."""
    strata: tuple[Stratum, ...] = ()
    """Where proxies served different splits: the same traffic by group of proxies."""

    @classmethod
    def of(cls, window: Window, since: float, at: float, wall: float) -> "WindowRecord":
        """The record of a window that was judged."""
        return cls(since, at, wall, window.weight, window.stable, window.canary, window.custom, window.strata)

    @property
    def window(self) -> Window:
        """The window, to judge it again."""
        return Window(self.at, self.weight, self.stable, self.canary, self.custom, self.strata)

    @property
    def unreported(self) -> bool:
        """Whether no proxy reported anything."""
        return self.stable is None and self.canary is None

    @property
    def silent(self) -> bool:
        """Whether nothing was reported at all, of custom metrics either."""
        return self.unreported and not self.custom


class StoredSide(NamedTuple):
    """One version's sample as JSON values; `latency` and `ttft` are bucket, count, bucket, count, ..."""

    started: int
    ok: int
    errors: Mapping[str, int]
    latency: Sequence[int]
    in_progress: int | None = None
    cancelled: int = 0
    ttft: Sequence[int] = ()

    @classmethod
    def of(cls, sample: Sample | None) -> "StoredSide | None":
        """The stored form of a sample with Haldane's own buckets."""
        if sample is None:
            return None
        latency, ttft = _flat(sample.latency), _flat(sample.ttft)
        return cls(sample.started, sample.ok, sample.errors, latency, sample.in_progress, sample.cancelled, ttft)

    @property
    def sample(self) -> Sample:
        """The sample. ValueError, KeyError or TypeError if it is not one."""
        return Sample(
            self.started,
            self.ok,
            self.errors or NO_ERRORS,
            with_edges(_buckets(self.latency)),
            UPPER,
            self.in_progress,
            self.cancelled,
            with_edges(_buckets(self.ttft)),
        )

    def plus(self, other: "StoredSide") -> "StoredSide":
        """The increments of both together; `other` is the later one."""
        names = {**self.errors, **other.errors}
        errors = {name: self.errors.get(name, 0) + other.errors.get(name, 0) for name in names}
        return StoredSide(
            self.started + other.started,
            self.ok + other.ok,
            errors,
            _added(self.latency, other.latency),
            other.in_progress,
            self.cancelled + other.cancelled,
            _added(self.ttft, other.ttft),
        )


def _flat(histogram: Sequence[tuple[float, int]]) -> list[int]:
    counts: list[int] = []
    for edge, count in histogram:
        counts += (bucket_of(edge), count)
    return counts


def _buckets(counts: Sequence[int]) -> dict[int, int]:
    """Bucket -> count. ValueError if the two do not come in pairs."""
    return dict(zip(counts[::2], counts[1::2], strict=True))


def _added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    buckets = _buckets(one)
    for bucket, count in _buckets(other).items():
        buckets[bucket] = buckets.get(bucket, 0) + count
    return [*chain.from_iterable(buckets.items())]


class StoredStratum(NamedTuple):
    """What a group of proxies reported, as JSON values."""

    name: str
    stable: StoredSide | None
    canary: StoredSide | None

    @classmethod
    def of(cls, stratum: Stratum) -> "StoredStratum":
        """The stored form."""
        return cls(stratum.name, StoredSide.of(stratum.stable), StoredSide.of(stratum.canary))

    @classmethod
    def from_stored(cls, values: Sequence[Any]) -> "StoredStratum":
        """From the list of its values in JSON. TypeError for anything else."""
        name, *sides = values
        stable, canary = (StoredSide(*side) if side else None for side in sides)
        return cls(name, stable, canary)

    @property
    def stratum(self) -> Stratum:
        """The stratum. ValueError, KeyError or TypeError if it is not one."""
        stable, canary = (side.sample if side else None for side in self[1:])
        return Stratum(self.name, stable, canary)

    @property
    def shape(self) -> tuple[str, bool, bool]:
        """Whose it is, and which sides were reported."""
        return self.name, self.stable is not None, self.canary is not None

    @property
    def size(self) -> int:
        """How many numbers it holds, about, besides some in every window."""
        return sum([len(side.latency) + len(side.ttft) for side in self[1:] if side])

    def plus(self, after: "StoredStratum") -> "StoredStratum":
        """The increments of both together; `after` is the later one."""
        return StoredStratum(self.name, _sum(self.stable, after.stable), _sum(self.canary, after.canary))


class StoredWindow(NamedTuple):
    """A window as JSON values, many times smaller than the samples."""

    since: float
    at: float
    wall: float
    weight: int
    stable: StoredSide | None
    canary: StoredSide | None
    custom: Mapping[str, Any] = NO_READINGS
    strata: Sequence[StoredStratum] = ()

    @classmethod
    def of(cls, record: WindowRecord) -> "StoredWindow":
        """The stored form of a record, with times in microseconds."""
        since, at, wall = round(record.since, 6), round(record.at, 6), round(record.wall, 3)
        custom = {name: plain(reading) for name, reading in record.custom.items()} if record.custom else NO_READINGS
        sides = StoredSide.of(record.stable), StoredSide.of(record.canary)
        return cls(since, at, wall, record.weight, *sides, custom, [*map(StoredStratum.of, record.strata)])

    @classmethod
    def from_stored(cls, values: Sequence[Any]) -> "StoredWindow":
        """From the list of its values in JSON. TypeError for anything else."""
        window = cls(*values)
        _, stable, canary = StoredStratum.from_stored(("", window.stable, window.canary))
        strata = [*map(StoredStratum.from_stored, window.strata)]
        return window._replace(stable=stable, canary=canary, strata=strata)

    @property
    def record(self) -> WindowRecord:
        """The record. ValueError, KeyError or TypeError if it is not one."""
        custom = {name: read_plain(value) for name, value in self.custom.items()} if self.custom else NO_READINGS
        whole, strata = self.whole.stratum, tuple([each.stratum for each in self.strata])
        return WindowRecord(self.since, self.at, self.wall, self.weight, whole.stable, whole.canary, custom, strata)

    @property
    def whole(self) -> StoredStratum:
        """Everything as one group of proxies."""
        return StoredStratum("", self.stable, self.canary)

    @property
    def size(self) -> int:
        """How many numbers it holds, about."""
        return 8 + self.whole.size + 6 * len(self.custom) + sum([8 + each.size for each in self.strata])

    @property
    def shape(self) -> Sequence[tuple[str, bool, bool]]:
        """Which groups of proxies reported which sides."""
        return [each.shape for each in self.strata or (self.whole,)]

    def merged_with(self, after: "StoredWindow", most: float) -> "StoredWindow | None":
        """This window and the next one as one, if they are alike and span at most so many seconds;
        else None."""
        if self.weight != after.weight or self.at != after.since or after.at - self.since > most:
            return None
        if self.shape != after.shape and not _readings_alone(self) and not _readings_alone(after):
            return None
        custom = {**self.custom, **{name: _joined(self.custom.get(name), r) for name, r in after.custom.items()}}
        _, stable, canary = self.whole.plus(after.whole)
        strata = [one.plus(other) for one, other in zip(self.strata, after.strata, strict=False)]
        return after._replace(
            since=self.since,
            stable=stable,
            canary=canary,
            custom=custom or NO_READINGS,
            strata=strata or self.strata or after.strata,
        )


def _readings_alone(window: StoredWindow) -> bool:
    """Whether it is a tick between two reports, with readings of custom metrics alone."""
    return not window.stable and not window.canary and bool(window.custom) and window.at - window.since < SHORT


def _joined(before: Any, after: Any) -> Any:
    return plain(joined(None if before is None else read_plain(before), read_plain(after)))


def _sum(one: StoredSide | None, other: StoredSide | None) -> StoredSide | None:
    if one is None or other is None:
        return one or other
    return one.plus(other)
