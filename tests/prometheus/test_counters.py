"""Counters read now and then: what they gained, and when that cannot be known."""

from itertools import pairwise

import pytest

from controller.telemetry.counter_increase import DISTRUST, CounterReading, Increase, increase_since


def gains(*readings: tuple[float, float], every: float = 15.0) -> list[Increase | str | None]:
    """What is said of such readings (events, total) one after another."""
    counters: CounterReading | None = None
    found = []
    for number, reading in enumerate(readings):
        counters, gain = increase_since(counters, reading, number * every)
        found.append(gain)
    return found


def counted(found: list[Increase | str | None]) -> list[Increase]:
    return [gain for gain in found if isinstance(gain, Increase)]


def test_counting_starts_at_the_first_reading() -> None:
    """What was before belongs to another time."""
    assert gains((5, 50), (7, 60), (7, 60)) == [None, Increase(10, 2), Increase(0, 0)]


def test_a_restarted_server_is_counted_again_after_a_while() -> None:
    """What it lost is not known; a minute and a half later it is trusted."""
    found = gains((5, 50), (0, 3), (1, 13), (2, 23), (3, 33), every=DISTRUST / 2)
    assert [type(gain) for gain in found] == [type(None), str, str, Increase, Increase]
    assert found[-1] == Increase(10, 1)
    assert "a counter fell" in str(found[1])


@pytest.mark.proves("track-record 13")
def test_a_server_that_was_missing_for_a_moment_is_not_counted_twice() -> None:
    """Two servers with a past of 10 000 each; one is not scraped for 15 s to a minute. Its past is never news."""
    both, one = (2000.0, 20_000.0), (1000.0, 10_000.0)

    def at(base: tuple[float, float], n: int) -> tuple[float, float]:
        return base[0] + n, base[1] + 10 * n

    for away in (1, 2, 3, 4):
        readings = [at(one if 2 <= n < 2 + away else both, n) for n in range(20)]
        assert counted(gains(*readings)) == [Increase(10, 1)] * (19 - away - 1)


@pytest.mark.proves("track-record 13")
def test_servers_that_come_back_one_by_one_are_not_counted_twice() -> None:
    """As after a restart of Prometheus: the sum is trusted once it is where it was."""
    pasts = [(500.0 + n, 10_000.0 + 10 * n) for n in range(4)]
    there = [4, 4, 1, 2, 3, 4, 4, 4]
    readings = [(sum(x for x, _ in pasts[:k]) + n, sum(t for _, t in pasts[:k]) + 10 * n) for n, k in enumerate(there)]
    assert counted(gains(*readings)) == [Increase(10, 1)] * 3


def test_what_is_counted_never_exceeds_what_rose() -> None:
    """A fall within a fall: the height to come back to is the first one."""
    readings = [(9.0, 90.0), (5.0, 50.0), (2.0, 20.0), (9.0, 90.0), (9.0, 92.0)]
    rises = sum(max(0.0, after[1] - before[1]) for before, after in pairwise(readings))
    found = gains(*readings, every=1.0)
    assert counted(found) == [Increase(2, 0)]
    assert rises == 72.0


def test_values_that_are_no_counts() -> None:
    """Below zero, beyond whole numbers, more events than there are in total."""
    assert gains((-1, 5))[-1] == "a counter is no count"
    assert gains((1, 1e16))[-1] == "a counter is no count"
    assert gains((0, 0), (5, 4))[-1] == "more events than there are in total"
    assert gains((0, 0), (1, 1e16), (2, 30), (3, 40))[-2:] == [None, Increase(10, 1)]
