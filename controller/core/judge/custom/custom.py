"""Custom metrics: what Envoy cannot know, such as accuracy against late labels, judged beside the rest.

A rate goes through the same e-process as errors. All that is judged is one bet, of which the custom metrics have the
part `BUDGET`: a rollback rests on the average of the judge's evidence and the rates', so the false rollbacks stay
within `false_rollback`. A gauge has no such promise: it is worse when `k` of its last `n` readings are, which bounds
how long it takes and not how often it errs. What cannot be read holds the gate, and no more, unless the policy says
`on_blind: rollback`. At 100 % the canary is compared with stable's past (`followed`).
"""

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge import reasons as grounds
from controller.core.judge.channels import plan_of
from controller.core.judge.custom.judged_metric import Followed, after_reading
from controller.core.judge.custom.metric_reasons import told, unproven
from controller.core.judge.state import Evidence
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.service import MetricPolicy, Policy
from controller.core.traffic.window import Window

BUDGET = 0.2
"""The part of `false_rollback` that goes to the custom metrics, all together."""
SILENT = 90.0
"""Seconds without a reading after which a metric is unknown though the last one was good, and after which
`on_blind: rollback` rolls back."""

Custom = Mapping[str, Followed]
"""By the metric's name."""


@by_identity
def without_custom(policy: Policy) -> Policy:
    """The policy for everything else: with the part of the error budget that custom metrics leave."""
    if not policy.metrics:
        return policy
    return policy.model_copy(update={"false_rollback": policy.false_rollback * (1 - BUDGET), "metrics": ()})


def with_custom(
    policy: Policy, custom: Custom, window: Window, evidence: Evidence, verdict: Verdict
) -> tuple[Custom, Verdict]:
    """The verdict on everything; `evidence` and `verdict` are the judge's on everything else."""
    if not policy.metrics:
        return custom, verdict
    time, warm, proof_limit = evidence.time, verdict.warm, 1 / (1 - policy.confidence)
    after = {
        name: after_reading(
            custom.get(name, Followed()), window.custom.get(name), margin, proof_limit, window.weight, time, warm=warm
        )
        for name, margin in ((metric.name, metric.margin) for metric in policy.metrics)
    }
    if verdict.outcome is Outcome.HARM:
        return after, verdict
    harm = _harm(policy, after, evidence, warm=warm)
    if harm:
        return after, replace(verdict, outcome=Outcome.HARM, grounds=(harm,))
    doubts = _doubts(policy, after, evidence)
    if not doubts:
        return after, verdict
    others = verdict.grounds if verdict.outcome is Outcome.UNKNOWN else ()
    return after, replace(verdict, outcome=Outcome.UNKNOWN, grounds=(*others, *doubts))


def total(policy: Policy, custom: Custom, evidence: Evidence) -> float:
    """The evidence of harm that a rollback rests on; its limit is 1 / false_rollback."""
    return evidence.total if not policy.metrics else (1 - BUDGET) * evidence.total + BUDGET * _mean(policy, custom)


def lost(custom: Custom, evidence: Evidence) -> Reason | None:
    """The first metric that has not been read for so long that somebody must know; None if there is none."""
    for name, followed in custom.items():
        silent = evidence.time - (followed.heard or 0.0)
        if silent >= SILENT:
            text = f"{name} has not been read for {silent:.0f} s: {followed.why or 'nothing was told'}"
            return Reason("metric_unknown", text, channel=name)
    return None


def all_read(custom: Custom) -> bool:
    """Whether every metric has been read in this rollout."""
    return all(followed.heard is not None for followed in custom.values())


def custom_readings(policy: Policy, custom: Custom, evidence: Evidence) -> tuple[Reason, ...]:
    """Every metric as it stands. Of a gauge `evidence` is here how many readings were worse, `limit` how many do."""
    alone = len(policy.metrics) / (policy.false_rollback * BUDGET)
    found = []
    for metric in policy.metrics:
        followed = custom.get(metric.name, Followed())
        reason = told(metric, followed, evidence, followed.evidence, alone)
        if followed.gauge:
            reason = replace(reason, evidence=float(sum(followed.worse)), limit=float(followed.decisive))
        found.append(replace(reason, code="metric_unknown") if followed.why else reason)
    return tuple(found)


def custom_gates(policy: Policy, custom: Custom) -> tuple[Reason, ...]:
    """The proof of no harm of every rate, as it stands."""
    rates = [metric for metric in policy.metrics if (known := custom.get(metric.name)) and not known.gauge]
    return tuple(unproven(policy, metric, custom[metric.name]) for metric in rates)


def dump(custom: Custom) -> dict[str, Any]:
    """As JSON values."""
    return {name: list(followed) for name, followed in custom.items()}


def load(stored: Mapping[str, Any]) -> Custom:
    """What `dump` gave, through JSON; TypeError for anything else."""
    return {name: Followed.thawed(values) for name, values in stored.items()}


def _mean(policy: Policy, custom: Custom) -> float:
    """The e-value of all metrics together; a gauge, or one that was never read, says nothing: 1."""
    return sum([followed.evidence for followed in custom.values()]) / len(policy.metrics) if custom else 1.0


def _harm(policy: Policy, custom: Custom, evidence: Evidence, *, warm: bool) -> Reason | None:
    shown = total(policy, custom, evidence)
    if shown >= 1 / policy.false_rollback:
        return _weightiest(policy, custom, evidence, shown)
    for metric in policy.metrics:
        if custom[metric.name].harmful:
            return told(metric, custom[metric.name], evidence)
    return lost(custom, evidence) if policy.on_blind == "rollback" and warm else None


def _weightiest(policy: Policy, custom: Custom, evidence: Evidence, shown: float) -> Reason:
    """What speaks most for harm: a custom metric, or one of the judge's channels."""
    if BUDGET * _mean(policy, custom) < shown / 2:
        return grounds.harm_shown(policy, plan_of(policy), evidence, shown)
    metric = max(policy.metrics, key=lambda metric: custom[metric.name].evidence)
    return told(metric, custom[metric.name], evidence, shown, 1 / policy.false_rollback)


def _doubts(policy: Policy, custom: Custom, evidence: Evidence) -> tuple[Reason, ...]:
    """Why the gate is shut."""
    shown = total(policy, custom, evidence)
    found = [_doubt(policy, metric, custom[metric.name], evidence) for metric in policy.metrics]
    if shown >= sqrt(1 / policy.false_rollback) and BUDGET * _mean(policy, custom) >= shown / 2:
        found.append(_weightiest(policy, custom, evidence, shown))
    return tuple(doubt for doubt in found if doubt)


def _doubt(policy: Policy, metric: MetricPolicy, followed: Followed, evidence: Evidence) -> Reason | None:
    name, full = metric.name, evidence.weight >= TOTAL_WEIGHT
    silent = evidence.time - (followed.heard or 0.0)
    if followed.why or followed.heard is None or silent > SILENT:
        why = followed.why or f"nothing for {silent:.0f} s"
        return Reason("metric_unknown", f"{name} is unknown: {why}", channel=name)
    if full and not followed.based:
        text = f"{name} is unknown: at 100 % there is only stable's past to compare with, and there is none"
        return Reason("metric_unknown", text, channel=name)
    if followed.gauge:
        calm = len(followed.worse) >= followed.decisive and not any(followed.worse)
        return None if calm else told(metric, followed, evidence)
    return None if full or followed.shown >= 1 / (1 - policy.confidence) else unproven(policy, metric, followed)
