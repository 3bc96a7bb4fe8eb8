"""The watch over a service while no rollout runs: its stable, against absolute limits and its own
baseline.

After a rollback, and at any other time, Haldane keeps watching. There is no canary to compare with,
so only a broken absolute limit can be shown; that stable is worse than it used to be is shown to
people and changes nothing.

A watch has no end, so no probability of a false alarm over its whole length can be promised. Its
promise is a rate: an e-detector (Shiryaev-Roberts: M <- (M + 1) e, alarm at M >= A; Shin, Ramdas,
Rinaldo, "E-detectors", 2023) on a service whose rate is exactly at its limit raises an alarm less
than once in A samples on average.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from controller.core.judge.arrivals import BLIND_AFTER
from controller.core.judge.baseline import Baseline
from controller.core.judge.betting import HIGHEST, Null, e_value, poisson_bets
from controller.core.judge.describe_stable import (
    BaselineDescription,
    ErrorLimitDescription,
    LatencyLimitDescription,
    StableBlindDescription,
    StableIdleDescription,
)
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample

ALARM = 5_000_000.0
"""A. A service at the very edge of a limit raises less than one false alarm in so many samples: at
five samples a second (a rollout runs in the fleet) one in about 12 days, at one in two seconds one in
about 4 months."""
MOST = ALARM * 1000
"""Where the statistic is cut off, so that a service that has recovered is seen to have within a
minute or so."""
TIMES = (1.5, 3.0, 10.0)
"""The alternatives, as multiples of the limit; each has a third of the bet."""


class StableWatch(NamedTuple):
    """What is known of one stable. `errors` and `slow` are the two limits' detectors, a number for
    each alternative.

    `last_report` and `last_sample` are monotonic seconds: the first counts from the first tick,
    report or not.
    """

    stable: str
    errors: tuple[float, ...] = (0.0,) * len(TIMES)
    slow: tuple[float, ...] = (0.0,) * len(TIMES)
    baseline: Baseline = Baseline()
    last_report: float | None = None
    last_sample: float | None = None


def watch_stable(policy: Policy, watch: StableWatch, sample: Sample | None, now: float) -> tuple[StableWatch, Verdict]:
    """One tick: the watch after it, and the verdict on stable.

    HARM: an absolute limit is broken. PASS: it is as it used to be. UNKNOWN: it has an incident by
    its own baseline, no traffic, or no reports. `now` is monotonic seconds.
    """
    if sample is None:
        watch = watch._replace(last_report=now if watch.last_report is None else watch.last_report)
        return watch, _verdict(policy, watch, now)
    n, failed = sample.answered, sample.failed
    passed = 0.0 if watch.last_sample is None else now - watch.last_sample
    watch = watch._replace(
        errors=_detect(watch.errors, policy.errors.max, n, failed),
        slow=_detect(watch.slow, 0.01 if policy.latency.p99 else None, *_slow(sample, policy.latency.p99)),
        baseline=watch.baseline.after(n, failed, passed, incident=watch.baseline.in_incident),
        last_report=now,
        last_sample=now,
    )
    return watch, _verdict(policy, watch, now)


def _detect(detectors: Sequence[float], limit: float | None, n: int, x: int) -> tuple[float, ...]:
    """Each alternative's statistic after n more responses, x of them events; unchanged where there
    is no limit."""
    if limit is None or limit >= 1.0 or not n:
        return tuple(detectors)
    limit = max(limit, 1e-6)
    highest = max(HIGHEST, (1 + limit) / 2)  # below the limit it would be a bet that the limit is kept
    bets = poisson_bets(Null(0.0, limit), 0.0, [min(highest, limit * times) for times in TIMES], 0.0)
    counts = PairedCounts(n, x)
    return tuple(min(MOST, (m + 1) * e_value(bet, counts)) for m, bet in zip(detectors, bets, strict=True))


def _slow(sample: Sample, limit: float | None) -> tuple[int, int]:
    """(responses timed, responses surely above the limit in seconds). A bucket that holds the limit
    is within it."""
    total = sum(count for _, count in sample.latency)
    holds_it = bisect_left(sample.edges, limit * 1000) if limit is not None else len(sample.edges)
    if holds_it == len(sample.edges):
        return total, 0
    return total, sum(count for edge, count in sample.latency if edge > sample.edges[holds_it])


def _verdict(policy: Policy, watch: StableWatch, now: float) -> Verdict:
    silence = now - (watch.last_report if watch.last_report is not None else now)
    if silence > BLIND_AFTER:
        blind = Reason(ReasonCode.BLIND, StableBlindDescription(watch.stable, silence))
        return Verdict(Outcome.UNKNOWN, (blind,), blind=True)
    broken = [reason for reason in (_errors(policy, watch), _latency(policy, watch)) if reason]
    if broken:
        return Verdict(Outcome.HARM, tuple(broken))
    baseline = watch.baseline
    if baseline.fast_n < 1:
        idle = Reason(ReasonCode.NO_TRAFFIC, StableIdleDescription(watch.stable))
        return Verdict(Outcome.UNKNOWN, (idle,))
    recent, incident = baseline.fast_x / baseline.fast_n, baseline.in_incident
    code = ReasonCode.INCIDENT if incident else ReasonCode.HEALTHY
    compared = BaselineDescription(watch.stable, recent, baseline.observed_rate, incident)
    return Verdict(Outcome.UNKNOWN if incident else Outcome.PASS, (Reason(code, compared, stable=recent),))


def _errors(policy: Policy, watch: StableWatch) -> Reason | None:
    evidence = sum(watch.errors) / len(TIMES)
    if policy.errors.max is None or evidence < ALARM:
        return None
    recent = watch.baseline.fast_x / max(1.0, watch.baseline.fast_n)
    broken = ErrorLimitDescription(watch.stable, recent, policy.errors.max)
    return Reason(ReasonCode.ERRORS_MAX, broken, stable=recent, evidence=evidence, limit=ALARM)


def _latency(policy: Policy, watch: StableWatch) -> Reason | None:
    evidence = sum(watch.slow) / len(TIMES)
    if policy.latency.p99 is None or evidence < ALARM:
        return None
    broken = LatencyLimitDescription(watch.stable, policy.latency.p99)
    return Reason(ReasonCode.LATENCY_P99_MAX, broken, evidence=evidence, limit=ALARM)
