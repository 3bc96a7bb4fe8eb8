"""Cumulative counters of one version, read at intervals: their increase, as far as it is known. Pure.

A sum over servers falls when one of them restarts, but also when one is missing for a moment. What comes back then is
that server's whole past, which would count as if it had just happened. So after a fall nothing is counted until the
sum is back where it was, or for `DISTRUST` seconds if it does not come back.
"""

from typing import NamedTuple

DISTRUST = 90.0
"""Seconds. A server that Prometheus missed is back after a scrape, of which there is at least one in a minute."""
MAX_VALUE = 1e15
"""Above this a float no longer counts by ones."""


class Increase(NamedTuple):
    """What happened between two readings: of `total` requests, `events` were bad."""

    total: int
    events: int


class CounterReading(NamedTuple):
    """Events and total, as last read. `high` is where they were before a fall; it matters until `distrust_until`."""

    events: float
    total: float
    high: tuple[float, float] = (0.0, 0.0)
    distrust_until: float = 0.0


def increase_since(
    before: CounterReading | None, numbers: tuple[float, ...], time: float
) -> tuple[CounterReading | None, Increase | str | None]:
    """The reading to keep, and the increase since `before` or the reason why there is none.

    `numbers` are events and total; `time` is in monotonic seconds. The increase is None at the first reading.
    """
    events, total = numbers
    if not (0 <= events <= MAX_VALUE and 0 <= total <= MAX_VALUE):
        return None, "a counter is no count"
    reading = CounterReading(events, total)
    if before is None:
        return reading, None
    if events < before.events or total < before.total:
        high = max(before.events, before.high[0]), max(before.total, before.high[1])
        distrusted = reading._replace(high=high, distrust_until=time + DISTRUST)
        return distrusted, "a counter fell: what it counted meanwhile is not known"
    if time < before.distrust_until:
        is_back = events >= before.high[0] and total >= before.high[1]
        kept = reading if is_back else reading._replace(high=before.high, distrust_until=before.distrust_until)
        return kept, "a counter fell and is not trusted yet: an instance restarted, or was missing for a moment"
    increase = Increase(total=round(total - before.total), events=round(events - before.events))
    if increase.events > increase.total:
        return reading, "more events than there are in total"
    return reading, increase
