"""The windows that a rollout was judged by, kept in little space so that another policy can judge them again.

Bounded in number and in characters. The newest windows are kept as they were. Older ones are merged with their
neighbours, as little as will do: first those within a second, then within two, and so on. Only windows of one weight
with the same sides reported are merged, so no change of weight and no silence is smoothed away. Of custom metrics the
counts of merged windows are added up; of a gauge's values the newest stays.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from controller.core.latency import BUCKETS, listed
from controller.core.readings import Reading, joined, plain, read_plain
from controller.core.verdict import NO_ERRORS, NO_READINGS, Sample, Window

MOST = 1500
"""Windows on a tape."""
MOST_CHARACTERS = 1_000_000
"""Characters of a tape."""
FINE = 300
"""The newest windows, which are never merged: a minute at five reports a second."""
PACE = 1.0
"""Seconds that a merged window spans at first."""
MOST_PACE = 3600.0
"""Beyond it nothing is merged any more: the oldest windows are dropped instead."""
SHORT = 1.0
"""Seconds of silence between two reports that are no silence, but the time between two reports."""
LOOK = 0.5
"""Seconds between two looks while nothing is reported, when silence is played again."""


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


class Tape:
    """The windows of one rollout, oldest first. Mutable; each is held as the text that is stored."""

    def __init__(self, lines: Sequence[str] = (), *, pace: float = PACE, dropped: int = 0) -> None:
        self._lines = list(lines)
        self._size = sum(map(len, self._lines))
        self._open: Record | None = None
        self.pace = pace
        self.dropped = dropped
        """How many of the oldest windows are gone."""

    def add(self, record: Record) -> None:
        """One window more."""
        joined = _extended(self._open, record) if self._open else record
        if joined is None:
            self._seal()
            joined = record
        self._open = joined

    def records(self) -> Iterator[Record]:
        """Every window, oldest first."""
        yield from map(_decoded, self._lines)
        if self._open:
            yield self._open

    def lines(self) -> list[str]:
        """The stored form, a line each."""
        return [*self._lines, *([_encoded(self._open)] if self._open else [])]

    def cut(self, time: float) -> None:
        """Forget what happened after that time: evidence that went back to an earlier save will see it anew."""
        self._seal()
        while self._lines and _decoded(self._lines[-1]).at > time:
            self._size -= len(self._lines.pop())

    def _seal(self) -> None:
        if self._open is None:
            return
        self._lines.append(_encoded(self._open))
        self._size += len(self._lines[-1])
        self._open = None
        if len(self._lines) > MOST or self._size > MOST_CHARACTERS:
            self._thin()

    def _thin(self) -> None:
        """Make room for a quarter more."""
        while len(self._lines) > MOST * 0.75 or self._size > MOST_CHARACTERS * 0.75:
            if self.pace > MOST_PACE:
                oldest = max(1, len(self._lines) // 4)
                self._lines, self.dropped = self._lines[oldest:], self.dropped + oldest
            else:
                old = _merged(map(_decoded, self._lines[:-FINE]), self.pace)
                self._lines[:-FINE] = map(_encoded, old)
            self._size = sum(map(len, self._lines))
            if len(self._lines) > MOST * 0.75 or self._size > MOST_CHARACTERS * 0.75:
                self.pace *= 2


def replayed(records: Iterator[Record]) -> Iterator[tuple[Record, Window]]:
    """The windows to judge once more, each with the record that it is of: silence becomes the looks that found it."""
    before = 0.0
    for record in records:
        silent_until = record.at if record.unreported else record.since
        while before + LOOK < silent_until:
            before += LOOK
            yield record, Window(before, record.weight, None, None)
        yield record, Window(record.at, record.weight, record.stable, record.canary, record.custom)
        before = record.at


def _extended(last: Record, record: Record) -> Record | None:
    """The last window and the new one as one, where silence makes them one; None where they are two."""
    if not last.silent or last.weight != record.weight or last.at != record.since:
        return None
    if record.silent or last.at - last.since < SHORT:
        return record._replace(since=last.since)
    return None


def _merged(records: Iterator[Record], pace: float) -> list[Record]:
    """Neighbours put together that are of a kind and span no more than `pace` seconds."""
    merged: list[Record] = []
    for record in records:
        if merged and _alike(merged[-1], record) and record.at - merged[-1].since <= pace:
            merged[-1] = _one(merged[-1], record)
        else:
            merged.append(record)
    return merged


def _alike(one: Record, other: Record) -> bool:
    """Whether two windows may be one: of one weight, with the same sides reported, or nothing but readings in one."""
    if one.weight != other.weight or one.at != other.since:
        return False
    same_sides = (one.stable is None, one.canary is None) == (other.stable is None, other.canary is None)
    return same_sides or any(r.unreported and r.custom and r.at - r.since < SHORT for r in (one, other))


def _one(before: Record, record: Record) -> Record:
    custom = {**before.custom, **{name: joined(before.custom.get(name), r) for name, r in record.custom.items()}}
    stable, canary = _sum(before.stable, record.stable), _sum(before.canary, record.canary)
    return record._replace(since=before.since, stable=stable, canary=canary, custom=custom)


def _sum(one: Sample | None, other: Sample | None) -> Sample | None:
    if one is None or other is None:
        return one or other
    errors = {name: one.errors.get(name, 0) + other.errors.get(name, 0) for name in {**one.errors, **other.errors}}
    counts = dict(_sparse(one))
    for bucket, count in _sparse(other).items():
        counts[bucket] = counts.get(bucket, 0) + count
    return Sample(one.started + other.started, one.ok + other.ok, errors, listed(counts))


def _encoded(record: Record) -> str:
    sides = [_plain(side) for side in (record.stable, record.canary)]
    head = [round(record.since, 6), round(record.at, 6), round(record.wall, 3), record.weight]
    custom = [{name: plain(reading) for name, reading in record.custom.items()}] if record.custom else []
    return json.dumps([*head, *sides, *custom], separators=(",", ":"))


def _decoded(line: str) -> Record:
    """ValueError (also as KeyError or TypeError) for anything that is no window."""
    since, at, wall, weight, stable, canary, *custom = json.loads(line)
    read = {name: read_plain(stored) for name, stored in custom[0].items()} if custom else NO_READINGS
    return Record(since, at, wall, weight, _sample(stable), _sample(canary), read)


def _plain(sample: Sample | None) -> list[Any] | None:
    """Counts, and the latency as bucket, count, bucket, count, ..."""
    if sample is None:
        return None
    latency = [number for pair in _sparse(sample).items() for number in pair]
    return [sample.started, sample.ok, dict(sample.errors), latency]


def _sample(plain: list[Any] | None) -> Sample | None:
    if plain is None:
        return None
    started, ok, errors, latency = plain
    return Sample(started, ok, errors or NO_ERRORS, listed(dict(zip(latency[::2], latency[1::2], strict=True))))


def _sparse(sample: Sample) -> Mapping[int, int]:
    """Bucket -> count, of those that have any. The buckets are those of `core.latency`, as in every window of ours."""
    assert len(sample.latency) in (0, BUCKETS)
    return {number: count for number, (_, count) in enumerate(sample.latency) if count}
