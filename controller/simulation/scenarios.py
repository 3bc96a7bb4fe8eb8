"""Named canaries: healthy ones that must not be rolled back, and bad ones that must."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.simulation.clustered_traffic import CLUSTERED
from controller.simulation.scenario import Behaviour, Moment, Scenario
from controller.simulation.simulated_version import Server
from controller.simulation.streaming_traffic import STREAMS


def changed(**more: float) -> Behaviour:
    """From its onset on, these fields have this much more."""

    def behave(server: Server, moment: Moment) -> Server:
        if moment.since < 0:
            return server
        return replace(server, **{name: getattr(server, name) + value for name, value in more.items()})

    return behave


def slower(factor: float) -> Behaviour:
    """From its onset on, everything takes so many times as long."""

    def behave(server: Server, moment: Moment) -> Server:
        return server if moment.since < 0 else replace(server, median=server.median * factor)

    return behave


def described(own: Mapping[str, float]) -> Scenario:
    """A canary of the caller's: its shares of `errors`, `client_errors` and `hang`, and by how much it is `slower`."""
    shares: dict[str, Any] = {name: share for name, share in own.items() if name != "slower"}

    def behave(server: Server, moment: Moment) -> Server:
        if moment.since < 0:
            return server
        return replace(server, **shares, median=server.median * (1 + own.get("slower", 0.0)))

    about = ", ".join(f"{name.replace('_', ' ')} {share:.3g}" for name, share in own.items())
    return Scenario("yours", about, False, canary=behave)


def _outage(server: Server, moment: Moment) -> Server:
    return replace(server, errors=1.0, client_errors=0.0, error_ms=1.0) if moment.since >= 0 else server


def _two_modes(server: Server, moment: Moment) -> Server:
    return replace(server, slow=0.2, slow_by=8.0) if moment.since >= 0 else server


def _slow_tail(server: Server, moment: Moment) -> Server:
    return (
        replace(server, slow=0.05, slow_by=server.quantile(0.99) / server.median * 2) if moment.since >= 0 else server
    )


def _slow_burn(server: Server, moment: Moment) -> Server:
    return replace(server, errors=server.errors + 0.01 * max(0.0, moment.since) / 60) if moment.since < 6000 else server


def _under_load(server: Server, moment: Moment) -> Server:
    return replace(server, errors=server.errors + 0.05) if moment.share > 0.3 and moment.since >= 0 else server


def _cold(server: Server, moment: Moment) -> Server:
    heat = math.exp(-moment.t / 15) if moment.t < 50 else 0.0
    return replace(server, errors=server.errors + 0.04 * heat, median=server.median * (1 + 6 * heat))


def _cold_cache(server: Server, moment: Moment) -> Server:
    return replace(server, median=server.median * (1 + max(0.0, 1 - moment.risen / 600)))


def _autoscaler_lag(server: Server, moment: Moment) -> Server:
    follows = moment.dice("autoscaler", 1e9).uniform(60, 80)
    return replace(server, median=server.median * 5) if moment.risen < follows else server


def _early_failures(server: Server, moment: Moment) -> Server:
    return replace(server, errors=server.errors + 0.03) if moment.t < 145 else server


def _incident(server: Server, moment: Moment) -> Server:
    if not 90 <= moment.t < 150:
        return server
    return replace(server, errors=server.errors + 0.4, median=server.median * 2)


def _hot_incident(server: Server, moment: Moment) -> Server:
    return _incident(changed(errors=0.02)(server, moment), moment)


def _daily(server: Server, moment: Moment) -> Server:
    wave = math.sin(moment.t * 2 * math.pi / 86_400)
    return replace(server, errors=server.errors * (1.5 + wave), median=server.median * (1.3 + 0.3 * wave))


def _waves(server: Server, moment: Moment) -> Server:
    return replace(server, errors=0.08) if moment.t % 60 < 20 else server


def _standstill(server: Server, moment: Moment) -> Server:
    return replace(server, median=server.median * 20) if 400 <= moment.t < 405 else server


def _pausing(second: float) -> Behaviour:
    """In that second of every minute half of the answers take 20 times as long, in every other second none."""

    def behave(server: Server, moment: Moment) -> Server:
        return replace(server, slow=0.5 if second <= moment.t % 60 < second + 1 else 0.0, slow_by=20.0)

    return behave


def _late(server: Server, moment: Moment) -> Server:
    return replace(server, errors=server.errors + 0.05) if moment.t >= 400 and moment.since >= 0 else server


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("healthy", "as good as stable", True),
        Scenario("healthy-low", "as good as stable, 2 requests a second", True, rps=2.0),
        Scenario("healthy-high", "as good as stable, 1000 requests a second", True, rps=1000.0),
        Scenario("daily", "a daily cycle of load errors and latency on both versions", True, both=_daily),
        Scenario("incident", "both versions fail 40 % for a minute", True, both=_incident),
        Scenario("waves", "both versions fail 8 % for 20 s of every minute", True, both=_waves),
        Scenario(
            "standstill", "everything takes 20 times as long for 5 s, in the bake by default", True, both=_standstill
        ),
        Scenario(
            "pauses",
            "each version pauses for half a second of every minute, not at the same time",
            True,
            _pausing(50),
            _pausing(20),
        ),
        Scenario("stable-3", "both versions have 3 % errors", True, both=lambda s, _: replace(s, errors=0.03)),
        Scenario("heavy-tail", "both versions have a very long tail", True, both=lambda s, _: replace(s, sigma=1.6)),
        Scenario("cold-start", "slow and failing while it warms up, then good", True, canary=_cold),
        Scenario(
            "cold-cache",
            "twice as slow after each rise of its share, less and less so for 10 min",
            True,
            canary=_cold_cache,
        ),
        Scenario(
            "autoscaler-lag",
            "five times as slow after each rise of its share, until servers are added after 60 to 80 s",
            True,
            canary=_autoscaler_lag,
        ),
        Scenario(
            "early-failures",
            "3 percentage points more errors in its first 145 s",
            True,
            canary=_early_failures,
        ),
        Scenario("missing-reports", "one report in five is missing", True, missing=0.2),
        Scenario("no-traffic", "no requests at all", True, rps=0.0),
        Scenario("no-canary-traffic", "no request ever reaches the canary", True, arrives=False),
        Scenario("slower-5", "5 % slower: inside the tolerance", True, canary=slower(1.05)),
        Scenario(
            "errors-0.01", "0.01 percentage points more errors: inside the margin", True, canary=changed(errors=0.0001)
        ),
        Scenario("errors-0.5", "0.5 percentage points more errors", False, canary=changed(errors=0.005)),
        Scenario("errors-2", "2 percentage points more errors", False, canary=changed(errors=0.02)),
        Scenario("errors-20", "20 percentage points more errors", False, canary=changed(errors=0.2)),
        Scenario(
            "errors-3-to-6",
            "6 % errors where stable has 3 %",
            False,
            both=lambda s, _: replace(s, errors=0.03),
            canary=changed(errors=0.03),
        ),
        Scenario(
            "client-errors",
            "5 percentage points more client errors (4xx) only",
            False,
            canary=changed(client_errors=0.05),
        ),
        Scenario("outage", "every answer is an error, at once", False, canary=_outage),
        Scenario("hang", "accepts requests and never answers", False, canary=changed(hang=1.0)),
        Scenario("slower-30", "30 % slower", False, canary=slower(1.3)),
        Scenario("tail-x2", "one answer in twenty takes twice stable's p99", False, canary=_slow_tail),
        Scenario("two-modes", "one answer in five takes 8 times as long", False, canary=_two_modes),
        Scenario("slow-burn", "one percentage point more errors with every minute", False, canary=_slow_burn),
        Scenario("late", "5 percentage points more errors from 400 s on, in the bake by default", False, canary=_late),
        Scenario("under-load", "5 percentage points more errors above a share of 30 %", False, canary=_under_load),
        Scenario(
            "errors-20-low",
            "20 percentage points more errors at 0.5 requests a second",
            False,
            changed(errors=0.2),
            rps=0.5,
        ),
        Scenario(
            "incident-bad", "2 percentage points more errors, and an incident on both", False, _hot_incident, _incident
        ),
        *CLUSTERED,
        *STREAMS,
    )
}
