"""Custom metrics: what Envoy cannot know, such as accuracy against late labels, judged beside the
rest.

A rate goes through the same e-process as errors, and so do its absolute limits
(`absolute_limits`). All that is judged is one bet, of which the custom
metrics have the part `BUDGET`: a rollback rests on the average of the judge's evidence and the
rates', so the false rollbacks stay within `false_rollback`. A gauge has no such promise: it is
worse when `k` of its last `n` readings are, which bounds how long it takes and not how often it
errs. What cannot be read keeps the step from being left, and no more, unless the policy says
`on_blind: rollback`. At 100 % the canary is compared with stable's past (`judged_metric`).
"""

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.channels import plan_of
from controller.core.judge.custom import absolute_limits, metric_reasons
from controller.core.judge.custom.judged_metric import JudgedMetric, ReadingConditions, after_reading
from controller.core.judge.custom.metric_reasons import metric_reason, not_shown
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.reasons import harm_reason
from controller.core.judge.settling import harm_evidence
from controller.core.judge.state import JudgeState
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import MetricPolicy, Policy
from controller.core.traffic.window import Window

BUDGET = 0.2
"""The part of `false_rollback` that goes to the custom metrics, all together."""
SILENT = 90.0
"""Seconds without a reading after which a metric is unknown though the last one was good, and after
which `on_blind: rollback` rolls back."""

CustomMetrics = Mapping[str, JudgedMetric]
"""What is known of each metric, by its name."""


@by_identity
def without_custom(policy: Policy) -> Policy:
    """The policy for everything else: with the part of the error budget that custom metrics
    leave."""
    if not policy.metrics:
        return policy
    return policy.model_copy(update={"false_rollback": policy.false_rollback * (1 - BUDGET), "metrics": ()})


def with_custom(
    policy: Policy, custom: CustomMetrics, window: Window, state: JudgeState, verdict: Verdict
) -> tuple[CustomMetrics, Verdict]:
    """What is known of the metrics after a window, and the verdict on everything.

    `state` and `verdict` are the judge's on everything else.
    """
    if not policy.metrics:
        return custom, verdict
    now = ReadingConditions(window.weight, state.time, verdict.warm, 1 / (1 - policy.confidence))
    after = {
        metric.name: after_reading(custom.get(metric.name, JudgedMetric()), window.custom.get(metric.name), metric, now)
        for metric in policy.metrics
    }
    if verdict.outcome is Outcome.HARM:
        return after, verdict
    harm = _harm(policy, after, state, warm=verdict.warm)
    if harm:
        return after, replace(verdict, outcome=Outcome.HARM, findings=(harm,))
    doubts = _doubts(policy, after, state)
    if not doubts:
        return after, verdict
    others = verdict.findings if verdict.outcome is Outcome.UNKNOWN else ()
    return after, replace(verdict, outcome=Outcome.UNKNOWN, findings=(*others, *doubts))


def total_evidence(policy: Policy, custom: CustomMetrics, state: JudgeState) -> float:
    """The e-value of harm that a rollback rests on; its limit is 1 / false_rollback."""
    total = harm_evidence(policy, state)
    return total if not policy.metrics else (1 - BUDGET) * total + BUDGET * _mean(policy, custom)


def lost_metric(custom: CustomMetrics, state: JudgeState) -> Reason | None:
    """The first metric that has not been read for so long that a person must know; None if there is
    none."""
    for name, known in custom.items():
        silent = state.time - (known.last_reading or 0.0)
        if silent >= SILENT:
            return metric_reasons.lost(name, silent, known.why_unknown)
    return None


def all_read(custom: CustomMetrics) -> bool:
    """Whether every metric has been read in this rollout."""
    return all(known.last_reading is not None for known in custom.values())


def custom_readings(policy: Policy, custom: CustomMetrics, state: JudgeState) -> tuple[Reason, ...]:
    """Every metric as it stands.

    Of a gauge `evidence` is here how many readings were worse, and `limit` how many decide.
    """
    alone = len(policy.metrics) / (policy.false_rollback * BUDGET)
    reasons = []
    for metric in policy.metrics:
        known = custom.get(metric.name, JudgedMetric())
        reason = metric_reason(metric, known, state, known.harm_evidence, alone)
        if known.gauge:
            reason = replace(reason, evidence=float(sum(known.worse)), limit=float(known.decisive))
        reasons.append(replace(reason, code=ReasonCode.METRIC_UNKNOWN) if known.why_unknown else reason)
    return tuple(reasons)


def custom_gates(policy: Policy, custom: CustomMetrics) -> tuple[Reason, ...]:
    """The evidence of no harm of every rate, as it stands."""
    rates = [metric for metric in policy.metrics if (known := custom.get(metric.name)) and not known.gauge]
    return tuple(not_shown(policy, metric, custom[metric.name]) for metric in rates)


def dump_custom(custom: CustomMetrics) -> dict[str, Any]:
    """As JSON values."""
    return {name: list(known) for name, known in custom.items()}


def load_custom(stored: Mapping[str, Any]) -> CustomMetrics:
    """What `dump_custom` gave, through JSON; TypeError for anything else."""
    return {name: JudgedMetric.from_stored(values) for name, values in stored.items()}


def _mean(policy: Policy, custom: CustomMetrics) -> float:
    """The e-value of all metrics together; a gauge, or one that was never read, says nothing: 1."""
    return sum([known.harm_evidence for known in custom.values()]) / len(policy.metrics) if custom else 1.0


def _harm(policy: Policy, custom: CustomMetrics, state: JudgeState, *, warm: bool) -> Reason | None:
    total = total_evidence(policy, custom, state)
    if total >= 1 / policy.false_rollback:
        return _leading_reason(policy, custom, state, total)
    for metric in policy.metrics:
        if custom[metric.name].gauge_harmful:
            return metric_reason(metric, custom[metric.name], state)
    return lost_metric(custom, state) if policy.on_blind == "rollback" and warm else None


def _leading_reason(policy: Policy, custom: CustomMetrics, state: JudgeState, total: float) -> Reason:
    """What has the most evidence of harm: a custom metric, or one of the judge's channels."""
    if BUDGET * _mean(policy, custom) < total / 2:
        return harm_reason(policy, plan_of(policy), state, total)
    metric = max(policy.metrics, key=lambda metric: custom[metric.name].harm_evidence)
    return metric_reason(metric, custom[metric.name], state, total, 1 / policy.false_rollback)


def _doubts(policy: Policy, custom: CustomMetrics, state: JudgeState) -> tuple[Reason, ...]:
    """Why the custom metrics keep the step from being left; empty if they do not."""
    total = total_evidence(policy, custom, state)
    doubts = [_doubt(policy, metric, custom[metric.name], state) for metric in policy.metrics]
    if total >= sqrt(1 / policy.false_rollback) and BUDGET * _mean(policy, custom) >= total / 2:
        doubts.append(_leading_reason(policy, custom, state, total))
    return tuple(doubt for doubt in doubts if doubt)


def _doubt(policy: Policy, metric: MetricPolicy, known: JudgedMetric, state: JudgeState) -> Reason | None:
    full = state.weight >= TOTAL_WEIGHT
    if why := _why_unknown(known, state, full=full):
        return metric_reasons.unknown(metric.name, why)
    if known.gauge:
        calm = len(known.worse) >= known.decisive and not any(known.worse)
        return None if calm else metric_reason(metric, known, state)
    if known.recent and absolute_limits.are_broken(metric, PairedCounts(*known.recent.counts)):
        alone = len(policy.metrics) / (policy.false_rollback * BUDGET)
        return metric_reason(metric, known, state, known.harm_evidence, alone)
    shown = full or metric.margin >= 1.0 or known.no_harm_evidence >= 1 / (1 - policy.confidence)
    return None if shown else not_shown(policy, metric, known)


def _why_unknown(known: JudgedMetric, state: JudgeState, *, full: bool) -> str:
    """Why nothing can be concluded from a metric now; empty if something can."""
    silent = state.time - (known.last_reading or 0.0)
    if known.why_unknown or known.last_reading is None or silent > SILENT:
        return known.why_unknown or f"nothing for {silent:.0f} s"
    if full and not known.has_past:
        return "at 100 % there is only stable's past to compare with, and there is none"
    return ""
