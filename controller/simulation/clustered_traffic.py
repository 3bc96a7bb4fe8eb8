"""Traffic as model servers have it: failures in clusters, impatient clients, long streams, late reports.

All of these happen to healthy canaries, but for the last one.
"""

import math
from dataclasses import replace

from controller.simulation.scenario import Behaviour, Moment, Scenario
from controller.simulation.simulated_version import Server

PODS = 20
"""Servers of both versions together, of which the canary has its share, one at least."""
OUTAGE, HOUR, DAY = 2.0, 3600.0, 86_400.0
"""Seconds: a pod's outage, and how often clusters come."""
POISON = 25
"""Failing requests a second of one client, for `OUTAGE` seconds."""


def _cluster_began(moment: Moment, of: str, per_second: float) -> float | None:
    """A number in 0..1 of the dice of a cluster that is going on; None if none is."""
    for back in range(int(OUTAGE)):
        dice = replace(moment, t=moment.t - back).dice(of)
        if dice.random() < per_second:
            return dice.random()
    return None


def _pods_out(every: float) -> tuple[Behaviour, Behaviour]:
    """Each pod is out for two seconds, once in so many seconds on average: what the canary and stable make of it."""

    def pod_out(moment: Moment) -> int | None:
        which = _cluster_began(moment, "pods", PODS / every)
        return None if which is None else int(which * PODS)

    def canary_pods(moment: Moment) -> int:
        return max(1, min(PODS - 1, round(moment.share * PODS)))

    def both(server: Server, moment: Moment) -> Server:
        pod, pods = pod_out(moment), canary_pods(moment)
        return server if pod is None or pod < pods else replace(server, errors=server.errors + 1 / (PODS - pods))

    def canary(server: Server, moment: Moment) -> Server:
        pod, pods = pod_out(moment), canary_pods(moment)
        if pod is None:
            return server
        errors = server.errors - 1 / (PODS - pods) if pod >= pods else min(1.0, server.errors + 1 / pods)
        return replace(server, errors=errors)

    return canary, both


def _poisoned(moment: Moment) -> float | None:
    return _cluster_began(moment, "poison", 1 / HOUR)


def _poisoned_stable(server: Server, moment: Moment) -> Server:
    where = _poisoned(moment)
    return server if where is None or where < moment.share else replace(server, poison=POISON)


def _poisoned_canary(server: Server, moment: Moment) -> Server:
    where = _poisoned(moment)
    return server if where is None else replace(server, poison=POISON if where < moment.share else 0)


def _overdispersed(of: str, mean: float, rho: float) -> Behaviour:
    """A rate of errors that is drawn again each second from a beta distribution; `rho` is the correlation of two
    requests of a second."""
    size = 1 / rho - 1

    def behave(server: Server, moment: Moment) -> Server:
        return replace(server, errors=moment.dice(of).betavariate(mean * size, (1 - mean) * size))

    return behave


def _drifting(of: str) -> Behaviour:
    """A rate of errors that is drawn again each minute: 1 % on average, with a standard deviation as large."""

    def behave(server: Server, moment: Moment) -> Server:
        return replace(server, errors=min(1.0, moment.dice(of, 60.0).expovariate(100.0)))

    return behave


def _impatient(server: Server, moment: Moment) -> Server:  # noqa: ARG001
    return replace(server, seconds=(0.5, 3.0), cancels=0.4)


def _streaming(server: Server, moment: Moment) -> Server:  # noqa: ARG001
    return replace(server, seconds=(60.0, 300.0))


def _failing_fast(server: Server, moment: Moment) -> Server:  # noqa: ARG001
    return replace(server, errors=0.05, client_errors=0.03, seconds=(2.0, 6.0), error_ms=5.0)


def _incident(begin: float, seconds: float) -> Behaviour:
    def behave(server: Server, moment: Moment) -> Server:
        return replace(server, errors=server.errors + 0.4) if begin <= moment.t < begin + seconds else server

    return behave


def _stable_faster(server: Server, moment: Moment) -> Server:
    return replace(server, median=server.median * (1 - 0.4 * moment.share))


def _canary_as_before(server: Server, moment: Moment) -> Server:
    return replace(server, median=server.median / (1 - 0.4 * moment.share))


def _creeping(server: Server, moment: Moment) -> Server:
    return replace(server, median=server.median * math.pow(1.01, max(0.0, moment.since) / 60))


CLUSTERED = (
    Scenario("pods-out", "each of 20 pods is out for 2 s once a day", True, *_pods_out(DAY)),
    Scenario("pods-out-hourly", "each of 20 pods is out for 2 s once an hour", True, *_pods_out(HOUR)),
    Scenario(
        "poison-client",
        "once an hour one client sends 50 failing requests within 2 s to one version",
        True,
        _poisoned_canary,
        _poisoned_stable,
    ),
    Scenario(
        "overdispersed",
        "1 % errors that come together within seconds (beta-binomial, rho 0.05)",
        True,
        _overdispersed("canary", 0.01, 0.05),
        _overdispersed("stable", 0.01, 0.05),
    ),
    Scenario(
        "drift", "each version's share of errors drifts by the minute", True, _drifting("canary"), _drifting("stable")
    ),
    Scenario("cancels", "clients give up on 40 % of their requests", True, both=_impatient),
    Scenario("streams", "every answer is a stream of 60 to 300 s", True, both=_streaming, rps=10.0),
    Scenario("fast-failures", "failures come at once, good answers take 2 to 6 s", True, both=_failing_fast),
    Scenario(
        "late-report",
        "the canary's report is late by 14 s in an incident of both",
        True,
        both=_incident(140, 30),
        late=lambda moment: 143 <= moment.t < 157,
    ),
    Scenario(
        "shared-incident", "both versions fail 40 % for 5 min, in the bake by default", True, both=_incident(400, 300)
    ),
    Scenario(
        "faster-stable", "stable gets faster as the canary takes its load", True, _canary_as_before, _stable_faster
    ),
    Scenario("creep", "latency grows by 1 % with every minute", False, _creeping),
)
