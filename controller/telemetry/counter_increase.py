"""Cumulative counters of one version, read now and then: what they gained, as far as that can be known. Pure.

A sum over servers falls when one of them begins anew, but also when one is missing for a moment. What comes back then
is that server's whole past, which would be counted as if it had just happened. So after a fall nothing is counted until
the sum is back where it was, or for `WARY` seconds if it does not come back.
"""

from typing import NamedTuple

WARY = 90.0
"""Seconds: a server that Prometheus missed is back after a scrape, of which there is one in a minute at least."""
MOST = 1e15
"""Beyond it a float does not count by ones any more."""


class Increase(NamedTuple):
    """What happened between two readings."""

    n: int
    x: int


class CounterReading(NamedTuple):
    """Events and total, as last read. `high` is where they were before a fall, which matters until `wary`."""

    events: float
    total: float
    high: tuple[float, float] = (0.0, 0.0)
    wary: float = 0.0


def increase_since(
    before: CounterReading | None, numbers: tuple[float, ...], time: float
) -> tuple[CounterReading | None, Increase | str | None]:
    """The counters after a reading, and their gain or why there is none; None at the first sight. Monotonic seconds."""
    events, total = numbers
    if not (0 <= events <= MOST and 0 <= total <= MOST):
        return None, "a counter is no count"
    read = CounterReading(events, total)
    if before is None:
        return read, None
    x, n = round(events - before.events), round(total - before.total)
    if events < before.events or total < before.total:
        high = max(before.events, before.high[0]), max(before.total, before.high[1])
        return read._replace(high=high, wary=time + WARY), "a counter fell: what it counted meanwhile is not known"
    if time < before.wary:
        back = events >= before.high[0] and total >= before.high[1]
        after = read if back else read._replace(high=before.high, wary=before.wary)
        return after, "a counter fell and is not trusted yet: a server began anew, or was missing for a moment"
    if x > n:
        return read, "more events than there are in total"
    return read, Increase(n, x)
