"""One window on a tape: what happened on both versions, and its plain form, in which it is held, merged and stored."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

from controller.core.traffic.latency_buckets import bucket_of
from controller.core.traffic.readings import Reading, joined, plain, read_plain
from controller.core.traffic.window import NO_ERRORS, NO_READINGS, Sample

SHORT = 1.0
"""Seconds of silence between two reports that are no silence, but the time between two reports."""

Side = tuple[int, int, Mapping[str, int], list[int]]
"""Started, ok, errors by class, and the latency as bucket, count, bucket, count, ..."""


class Record(NamedTuple):
    """A window: what happened from `since` to `at`, in seconds of observation since the rollout's first look.

    `wall` is Unix seconds at `at`, for people.
    """

    since: float
    at: float
    wall: float
    weight: int
    stable: Sample | None
    canary: Sample | None
    custom: Mapping[str, Reading] = NO_READINGS
    """By custom metric: what was read of it."""

    @property
    def unreported(self) -> bool:
        """Whether no proxy reported anything."""
        return self.stable is None and self.canary is None

    @property
    def silent(self) -> bool:
        """Whether nothing was heard at all, of custom metrics either."""
        return self.unreported and not self.custom


class Plain(NamedTuple):
    """A record as JSON values, many times smaller than the samples."""

    since: float
    at: float
    wall: float
    weight: int
    stable: Side | None
    canary: Side | None
    custom: Mapping[str, Any] = NO_READINGS

    @classmethod
    def of(cls, record: Record) -> "Plain":
        """The record, with times in microseconds."""
        since, at, wall = round(record.since, 6), round(record.at, 6), round(record.wall, 3)
        custom = {name: plain(reading) for name, reading in record.custom.items()} if record.custom else NO_READINGS
        return cls(since, at, wall, record.weight, _side(record.stable), _side(record.canary), custom)

    @property
    def record(self) -> Record:
        """What it is of. ValueError, KeyError or TypeError if it is of nothing."""
        since, at, wall, weight, stable, canary, stored = self
        custom = {name: read_plain(value) for name, value in stored.items()} if stored else NO_READINGS
        return Record(since, at, wall, weight, _sample(stable), _sample(canary), custom)

    @property
    def size(self) -> int:
        """How many numbers it holds, about."""
        sides = [len(side[3]) for side in (self.stable, self.canary) if side]
        return 8 + sum(sides) + 6 * len(self.custom)

    def with_next(self, after: "Plain", most: float) -> "Plain | None":
        """It and the window after it as one, where they are of a kind and span no more than so many seconds."""
        if self.weight != after.weight or self.at != after.since or after.at - self.since > most:
            return None
        same_sides = (self.stable is None, self.canary is None) == (after.stable is None, after.canary is None)
        if not same_sides and not _readings_alone(self) and not _readings_alone(after):
            return None
        custom = {**self.custom, **{name: _joined(self.custom.get(name), r) for name, r in after.custom.items()}}
        sides = _sum(self.stable, after.stable), _sum(self.canary, after.canary)
        return Plain(self.since, after.at, after.wall, after.weight, *sides, custom or NO_READINGS)


def _readings_alone(window: Plain) -> bool:
    """Whether it is a look between two reports, at what was read of custom metrics."""
    return not window.stable and not window.canary and bool(window.custom) and window.at - window.since < SHORT


def _joined(before: Any, after: Any) -> Any:
    return plain(joined(None if before is None else read_plain(before), read_plain(after)))


def _side(sample: Sample | None) -> Side | None:
    """The buckets are those of `core.latency`, as in every window of ours."""
    if sample is None:
        return None
    counts: list[int] = []
    for edge, count in sample.latency:
        counts += (bucket_of(edge), count)
    return sample.started, sample.ok, sample.errors, counts


def _sample(side: Side | None) -> Sample | None:
    if side is None:
        return None
    started, ok, errors, counts = side
    return Sample.of_buckets(started, ok, errors or NO_ERRORS, dict(zip(counts[::2], counts[1::2], strict=True)))


def _sum(one: Side | None, other: Side | None) -> Side | None:
    if one is None or other is None:
        return one or other
    errors = {name: one[2].get(name, 0) + other[2].get(name, 0) for name in {**one[2], **other[2]}}
    buckets = dict(zip(one[3][::2], one[3][1::2], strict=True))
    for bucket, count in zip(other[3][::2], other[3][1::2], strict=True):
        buckets[bucket] = buckets.get(bucket, 0) + count
    return one[0] + other[0], one[1] + other[1], errors, [*chain.from_iterable(buckets.items())]
