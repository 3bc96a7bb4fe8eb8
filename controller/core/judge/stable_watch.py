"""The watch over a service while no rollout runs: its stable, against its absolute limits and its own baseline.

After a rollback, and at any other time, Haldane goes on watching. There is no canary to compare with, so only absolute
limits can be shown to be broken; that stable is worse than it used to be is shown to people and moves nothing.

A watch has no end, so no probability of a false alarm over its whole length can be promised. Its promise is a rate: an
e-detector (Shiryaev-Roberts: M <- (M + 1) e, alarm at M >= A; Shin, Ramdas, Rinaldo, "E-detectors", 2023) that looks
at a service whose rate is exactly at its limit raises an alarm less than once in A looks on average.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from controller.core.judge.baselines import Rate
from controller.core.judge.betting import Null, e_value, poisson_bets
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample

ALARM = 5_000_000.0
"""A. At two looks a second, a service at the very edge of its limit raises less than one false alarm a month."""
MOST = ALARM * 1000
"""Where the statistic is cut off, so that a service that has recovered is seen to have within a minute or so."""
TIMES = (1.5, 3.0, 10.0)
"""How many times the limit the alternatives lie at; each has a third of the bet."""
HIGHEST = 0.95
SILENT = 5.0
"""Seconds without a report after which the watch is blind."""


class Watch(NamedTuple):
    """What is known of one stable. `errors` and `slow` are the two limits' detectors, a number for each alternative."""

    stable: str
    errors: tuple[float, ...] = (0.0,) * len(TIMES)
    slow: tuple[float, ...] = (0.0,) * len(TIMES)
    rate: Rate = Rate()
    seen_at: float | None = None
    at: float | None = None


def look(policy: Policy, watch: Watch, sample: Sample | None, now: float) -> tuple[Watch, Verdict]:
    """One look: the watch after it, and the verdict on stable.

    HARM: an absolute limit is broken. PASS: it answers as it used to. UNKNOWN: in trouble by its own baseline, without
    traffic, or out of sight. `now` is monotonic seconds.
    """
    if sample is None:
        watch = watch._replace(seen_at=now if watch.seen_at is None else watch.seen_at)
        return watch, _verdict(policy, watch, now)
    n, failed = sample.answered, sample.errors.get("5xx", 0)
    passed = 0.0 if watch.at is None else now - watch.at
    watch = watch._replace(
        errors=_detect(watch.errors, policy.errors.max, n, failed),
        slow=_detect(watch.slow, 0.01 if policy.latency.p99 else None, *_slow(sample, policy.latency.p99)),
        rate=watch.rate.after(n, failed, passed, incident=watch.rate.troubled),
        seen_at=now,
        at=now,
    )
    return watch, _verdict(policy, watch, now)


def _detect(detectors: Sequence[float], limit: float | None, n: int, x: int) -> tuple[float, ...]:
    """Each alternative's statistic after n more answers, x of them events; untouched where there is no limit."""
    if limit is None or limit >= 1.0 or not n:
        return tuple(detectors)
    limit = max(limit, 1e-6)
    highest = max(HIGHEST, (1 + limit) / 2)  # below the limit it would be a bet that the limit is kept
    bets = poisson_bets(Null(0.0, limit), 0.0, [min(highest, limit * times) for times in TIMES], 0.0)
    return tuple(min(MOST, (m + 1) * e_value(bet, n, x, 0, 0)) for m, bet in zip(detectors, bets, strict=True))


def _slow(sample: Sample, limit: float | None) -> tuple[int, int]:
    """(answers timed, answers surely above the limit in seconds). A bucket that holds the limit counts as within."""
    total = sum(count for _, count in sample.latency)
    holds_it = bisect_left(sample.edges, limit * 1000) if limit is not None else len(sample.edges)
    if holds_it == len(sample.edges):
        return total, 0
    return total, sum(count for edge, count in sample.latency if edge > sample.edges[holds_it])


def _verdict(policy: Policy, watch: Watch, now: float) -> Verdict:
    silence = now - (watch.seen_at if watch.seen_at is not None else now)
    if silence > SILENT:
        text = f"blind: no report on {watch.stable} for {silence:.0f} s"
        return Verdict(Outcome.UNKNOWN, (Reason("blind", text),), blind=True)
    broken = [reason for reason in (_errors(policy, watch), _latency(policy, watch)) if reason]
    if broken:
        return Verdict(Outcome.HARM, tuple(broken))
    rate = watch.rate
    if rate.fast_n < 1:
        return Verdict(Outcome.UNKNOWN, (Reason("no_traffic", f"{watch.stable} gets no traffic"),))
    recent = rate.fast_x / rate.fast_n
    seen = f"{watch.stable}: {recent:.1%} errors lately, {rate.seen:.2%} as a rule"
    if rate.troubled:
        return Verdict(Outcome.UNKNOWN, (Reason("incident", f"worse than its own baseline: {seen}", stable=recent),))
    return Verdict(Outcome.PASS, (Reason("healthy", f"as it used to be: {seen}", stable=recent),))


def _errors(policy: Policy, watch: Watch) -> Reason | None:
    evidence = sum(watch.errors) / len(TIMES)
    if policy.errors.max is None or evidence < ALARM:
        return None
    recent = watch.rate.fast_x / max(1.0, watch.rate.fast_n)
    text = (
        f"{watch.stable} breaks errors.max: {recent:.1%} of its answers are errors, {policy.errors.max:.2%} are allowed"
    )
    return Reason("errors_max", text, stable=recent, evidence=evidence, limit=ALARM)


def _latency(policy: Policy, watch: Watch) -> Reason | None:
    evidence = sum(watch.slow) / len(TIMES)
    if policy.latency.p99 is None or evidence < ALARM:
        return None
    text = f"{watch.stable} breaks latency.p99: more than 1 % of its answers take longer than {policy.latency.p99:g} s"
    return Reason("latency_p99_max", text, evidence=evidence, limit=ALARM)
