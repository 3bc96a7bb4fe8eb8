"""The reasons of custom metrics: worked out from what is known of a metric, and their sentences."""

from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT, counted, percentage_points
from controller.core.judge.custom.absolute_limits import describe_limits
from controller.core.judge.custom.judged_metric import ALONE_MARGIN, JudgedMetric
from controller.core.judge.describe import both_text, e_value_text, share_text
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.state import JudgeState
from controller.core.model.service import MetricPolicy, Policy


@dataclass(frozen=True, slots=True)
class MetricNotShownDescription:
    """A rate that has yet to be shown harmless."""

    name: str
    margin: float
    counts: PairedCounts
    evidence: float
    limit: float

    def describe(self) -> str:
        """The margin, the counts and the evidence on its way to the gate's limit."""
        return (
            f"{self.name}: not yet shown to be less than {percentage_points(self.margin, 3)} above stable: "
            f"{both_text(self.counts)}; evidence {e_value_text(self.evidence)}, limit {self.limit:.3g}"
        )


@dataclass(frozen=True, slots=True)
class RateDescription:
    """A rate: the counts of the last `seconds` (None before the first), and its evidence of harm.

    `past` is stable's past where the canary is compared with that, else None.
    """

    name: str
    margin: float
    counts: PairedCounts
    seconds: float | None
    past: PairedCounts | None
    evidence: float
    limit: float
    why_unknown: str
    limits: str = ""
    """The absolute limits, in words."""

    def describe(self) -> str:
        """What both versions had, what is allowed, and the evidence."""
        evidence = f"evidence {e_value_text(self.evidence)}, limit {e_value_text(self.limit)}"
        return f"{_with_unknown(self._compared(), self.why_unknown)}; {evidence}"

    def _compared(self) -> str:
        lately = f" in the last {self.seconds:.0f} s" if self.seconds is not None else ""
        if self.past is None:
            allowed = f"stable + {percentage_points(self.margin)}{self._limits()}"
            return f"{self.name}: {both_text(self.counts)}{lately}; allowed {allowed}"
        canary = share_text(self.counts.canary_events, self.counts.canary_n)
        past = share_text(self.past.stable_events, self.past.stable_n)
        allowed = percentage_points(self.margin * ALONE_MARGIN)
        return f"{self.name}: canary {canary}{lately}; allowed {allowed} above stable's past, {past}{self._limits()}"

    def _limits(self) -> str:
        return f", and {self.limits}" if self.limits else ""


@dataclass(frozen=True, slots=True)
class GaugeDescription:
    """A gauge: the canary's value, the level that it is compared with, and how many of the last
    readings were worse.

    `margin` is a share of the level. `alone`: the level is stable's worst one before.
    """

    name: str
    margin: float
    canary: float
    level: float | None
    alone: bool
    worse: int
    readings: int
    decisive: int
    why_unknown: str
    limits: str = ""
    """The absolute limits, in words."""

    def describe(self) -> str:
        """Both values, what is allowed, and how many readings decide."""
        name = "stable's worst level before" if self.alone else "stable"
        against = f"{name} {self.level:.4g}" if self.level is not None else f"{name} unknown"
        decide = f"{self.decisive} {'decides' if self.decisive == 1 else 'decide'}"
        beyond = f", or not {self.limits}," if self.limits else ""
        text = (
            f"{self.name}: canary {self.canary:.4g}, {against}; worse by more than {self.margin * 100:g} %{beyond} in "
            f"{self.worse} of the last {counted(self.readings, 'reading')}, {decide}"
        )
        return _with_unknown(text, self.why_unknown)


def _with_unknown(text: str, why_unknown: str) -> str:
    return f"{text}; unknown now: {why_unknown}" if why_unknown else text


@dataclass(frozen=True, slots=True)
class MetricUnknownDescription:
    """A metric that is unknown, and why."""

    name: str
    why: str

    def describe(self) -> str:
        """Which metric, and why."""
        return f"{self.name} is unknown: {self.why}"


@dataclass(frozen=True, slots=True)
class MetricLostDescription:
    """A metric that has not been read for so many seconds, and why."""

    name: str
    seconds: float
    why: str

    def describe(self) -> str:
        """Which metric, for how long, and why."""
        return f"{self.name} has not been read for {self.seconds:.0f} s: {self.why or 'nothing was told'}"


def not_shown(policy: Policy, metric: MetricPolicy, known: JudgedMetric) -> Reason:
    """The evidence of no harm of a rate, as it stands on its way to the gate's limit."""
    limit = 1 / (1 - policy.confidence)
    evidence = known.no_harm_evidence
    description = MetricNotShownDescription(metric.name, metric.margin, known.counts, evidence, limit)
    return Reason.on_counts(
        ReasonCode.INSUFFICIENT,
        description,
        known.counts,
        evidence=evidence,
        limit=limit,
        channel=metric.name,
        margin=metric.margin,
    )


def metric_reason(
    metric: MetricPolicy, known: JudgedMetric, state: JudgeState, evidence: float = 1.0, limit: float = 1.0
) -> Reason:
    """A metric as it stands: a rate with this evidence, a gauge with its readings. `state` is the
    judge's."""
    if known.gauge:
        return _gauge_reason(metric, known, *known.gauge, alone=state.weight >= TOTAL_WEIGHT)
    recent = known.recent
    description = RateDescription(
        name=metric.name,
        margin=metric.margin,
        counts=PairedCounts(*recent.counts) if recent else PairedCounts(),
        seconds=max(1.0, state.time - recent.since) if recent else None,
        past=known.counts if known.alone else None,
        evidence=evidence,
        limit=limit,
        why_unknown=known.why_unknown,
        limits=describe_limits(metric, share=True),
    )
    return Reason.on_counts(
        ReasonCode.CUSTOM, description, description.counts, evidence=evidence, limit=limit, channel=metric.name
    )


def _gauge_reason(
    metric: MetricPolicy, known: JudgedMetric, canary: float, level: float | None, *, alone: bool
) -> Reason:
    description = GaugeDescription(
        name=metric.name,
        margin=metric.margin * (ALONE_MARGIN if alone else 1),
        canary=canary,
        level=level,
        alone=alone,
        worse=sum(known.worse),
        readings=len(known.worse),
        decisive=known.decisive,
        why_unknown=known.why_unknown,
        limits=describe_limits(metric, share=False),
    )
    return Reason(ReasonCode.CUSTOM, description, canary=canary, stable=level, channel=metric.name)


def unknown(name: str, why: str) -> Reason:
    """A metric that is unknown, and why."""
    return Reason(ReasonCode.METRIC_UNKNOWN, MetricUnknownDescription(name, why), channel=name)


def lost(name: str, seconds: float, why: str) -> Reason:
    """A metric that has not been read for so many seconds, and why (empty if nothing is known)."""
    return Reason(ReasonCode.METRIC_UNKNOWN, MetricLostDescription(name, seconds, why), channel=name)
