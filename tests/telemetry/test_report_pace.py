"""How often proxies report to a controller that cannot keep up."""

import asyncio
import time

import pytest

from controller.ports.fleet import ReportsPaced
from controller.telemetry import load_reporting_service
from controller.telemetry.report_pace import CALM_TIMES, FEWER_READ, FEWEST_READ, LATE_SECONDS, ReportPace
from tests.telemetry.telemetry_server import INTERVAL
from tests.telemetry.test_load_reports import reporting


def pace() -> ReportPace:
    """From 200 ms to 2 s."""
    return ReportPace(shortest=0.2, longest=2.0)


def measured(pace: ReportPace, *lags: float, busy: float = 0.1) -> float:
    """The interval after these measurements."""
    for lag in lags:
        pace.measure(lag, busy)
    return pace.interval


def test_a_loop_that_keeps_up_changes_nothing() -> None:
    """Harm is found as soon as the settings want."""
    assert measured(pace(), *[0.0, 0.05, 0.09] * 100) == 0.2


def test_a_loop_that_stays_late_gets_fewer_reports() -> None:
    """A turn of the loop that takes longer than the interval reads less than comes in; up to the interval at rest."""
    late = pace()
    assert measured(late, 0.15, 0.15, 0.15) == 0.2
    assert measured(late, 0.15) == 0.4
    assert measured(late, *[0.15] * 100) == 0.4  # which is soon enough
    assert measured(late, LATE_SECONDS) == 0.8  # at once, if it is very late
    assert measured(late, *[10.0] * 100) == 2.0
    assert late.is_slowed


def test_a_hiccup_is_no_overload() -> None:
    """One long turn, such as a garbage collection, and then none."""
    assert measured(pace(), *[0.4, 0.0] * 10) == 0.2


def test_a_calm_process_gets_more_reports_again() -> None:
    """After a while, step by step, and never more than wanted."""
    late = pace()
    measured(late, *[10.0] * 4)
    assert measured(late, *[0.0] * CALM_TIMES) == 1.0
    assert late.is_slowed
    assert measured(late, *[0.0] * 10 * CALM_TIMES) == 0.2
    assert not late.is_slowed


def test_while_the_longest_interval_is_not_enough_fewer_flushes_are_read() -> None:
    """They come as often as Envoy's bootstrap says. Back again they go first."""
    late = pace()
    assert (late.flushes, late.paced) == (1, None)
    measured(late, *[LATE_SECONDS + 1] * 4)
    assert (late.interval, late.flushes) == (2.0, FEWER_READ)
    assert late.measure(LATE_SECONDS + 1, 1.0)
    assert late.paced == ReportsPaced(2.0, FEWEST_READ)
    assert not late.measure(LATE_SECONDS + 1, 1.0), "nothing is left to save"
    measured(late, *[0.0] * CALM_TIMES)
    assert late.paced == ReportsPaced(2.0, FEWER_READ)
    measured(late, *[0.0] * CALM_TIMES)
    assert late.paced == ReportsPaced(1.0, FEWER_READ)
    measured(late, *[0.0] * 3 * CALM_TIMES)
    assert (late.flushes, late.paced) == (1, None)


def test_the_pace_does_not_swing() -> None:
    """A process that would be as late again with twice as many reports keeps the interval at which it is not."""
    late = pace()
    assert measured(late, *[0.11] * 5, busy=1.0) == 0.4
    assert measured(late, *[0.0] * 10 * CALM_TIMES, busy=0.5) == 0.4


async def test_proxies_are_told_a_longer_interval_while_the_loop_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """And again the one that is wanted, once it keeps up: on the open stream."""
    monkeypatch.setattr(load_reporting_service, "MEASURE_EVERY", 0.01)
    async with reporting() as (telemetry, told):
        assert await told() == INTERVAL
        running = asyncio.create_task(telemetry.reports.run())

        async def hold_up() -> None:
            while True:
                time.sleep(INTERVAL)  # noqa: ASYNC251  # the point
                await asyncio.sleep(0)

        holding = asyncio.create_task(hold_up())
        assert await told() == 2 * INTERVAL
        meter, paced = telemetry.meter, telemetry.totals.paced
        assert paced
        assert paced.interval >= 2 * INTERVAL
        assert meter.report_interval == paced.interval
        holding.cancel()
        while (interval := await told()) != INTERVAL:
            assert interval > INTERVAL
        assert (telemetry.totals.paced, meter.report_interval) == (None, INTERVAL)
        running.cancel()
