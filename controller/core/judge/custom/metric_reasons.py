"""Why, where custom metrics are concerned: a metric's standing in words, with the numbers beside them for programs."""

from controller.core.base.units import TOTAL_WEIGHT, counted, points
from controller.core.judge.betting import Counts
from controller.core.judge.custom.judged_metric import ALONE_MARGIN, Followed
from controller.core.judge.reasons import figure, seen_as
from controller.core.judge.state import Evidence
from controller.core.judge.verdict import Reason
from controller.core.model.service import MetricPolicy, Policy


def unproven(policy: Policy, metric: MetricPolicy, followed: Followed) -> Reason:
    """The proof of no harm of a rate, as it stands on its way to the gate's limit."""
    limit = 1 / (1 - policy.confidence)
    n_c, x_c, n_s, x_s = followed.counts
    text = (
        f"{metric.name}: not yet shown to be less than {points(metric.margin, 3)} above stable: canary "
        f"{seen_as(x_c, n_c)}, stable {seen_as(x_s, n_s)}; evidence {figure(followed.shown)}, "
        f"limit {limit:.3g}"
    )
    return _rate(metric, followed.counts, "insufficient", text, followed.shown, limit, metric.margin)


def told(metric: MetricPolicy, followed: Followed, seen: Evidence, evidence: float = 1.0, limit: float = 1.0) -> Reason:
    """A metric as it stands: of a rate with this evidence, of a gauge with its readings. `seen` is the judge's."""
    text = _gauge_text(metric, followed, seen) if followed.gauge else _rate_text(metric, followed, seen)
    if followed.why:
        text = f"{text}; unknown now: {followed.why}"
    if followed.gauge:
        return Reason("custom", text, *followed.gauge, channel=metric.name)
    text = f"{text}; evidence {figure(evidence)}, limit {figure(limit)}"
    return _rate(metric, _recent(followed), "custom", text, evidence, limit)


def _gauge_text(metric: MetricPolicy, followed: Followed, seen: Evidence) -> str:
    assert followed.gauge is not None
    canary, stable = followed.gauge
    name = "stable" if seen.weight < TOTAL_WEIGHT else "stable's worst level before"
    against = f"{name} {stable:.4g}" if stable is not None else f"{name} unknown"
    margin = metric.margin * (1 if seen.weight < TOTAL_WEIGHT else ALONE_MARGIN) * 100
    decide = f"{followed.decisive} {'decides' if followed.decisive == 1 else 'decide'}"
    return (
        f"{metric.name}: canary {canary:.4g}, {against}; worse by more than {margin:g} % in {sum(followed.worse)} of "
        f"the last {counted(len(followed.worse), 'reading')}, {decide}"
    )


def _rate_text(metric: MetricPolicy, followed: Followed, seen: Evidence) -> str:
    n_c, x_c, n_s, x_s = _recent(followed)
    canary, stable = seen_as(x_c, n_c), seen_as(x_s, n_s)
    lately = f" in the last {max(1.0, seen.time - followed.recent.since):.0f} s" if followed.recent else ""
    if not followed.alone:
        return f"{metric.name}: canary {canary}, stable {stable}{lately}; allowed stable + {points(metric.margin)}"
    past = seen_as(followed.counts[3], followed.counts[2])
    allowed = points(metric.margin * ALONE_MARGIN)
    return f"{metric.name}: canary {canary}{lately}; allowed {allowed} above stable's past, {past}"


def _recent(followed: Followed) -> Counts:
    if followed.recent is None:
        return 0.0, 0.0, 0.0, 0.0
    n_c, x_c, n_s, x_s = followed.recent.counts
    return n_c, x_c, n_s, x_s


def _rate(
    metric: MetricPolicy,
    counts: Counts,
    code: str,
    text: str,
    evidence: float,
    limit: float,
    margin: float | None = None,
) -> Reason:
    n_c, x_c, n_s, x_s = counts
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason(code, text, *rates, int(n_c), int(n_s), evidence, limit, channel=metric.name, margin=margin)
