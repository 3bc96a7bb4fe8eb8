"""Why: the judge's reasons in words for somebody who is woken at 3 a.m., with the numbers beside them for programs."""

from functools import partial

from controller.core.base.units import TOTAL_WEIGHT, counted, format_duration, format_weight, points
from controller.core.judge.arrivals import Arrivals
from controller.core.judge.channels import GATE_METRICS, STUCK_MARGIN, TAILS, Plan, plan_of
from controller.core.judge.grace import FORGIVEN, NO_SPELL
from controller.core.judge.harm import error_null, gate_margin, slower_than
from controller.core.judge.latency_blocks import BINS, MEDIAN, TAIL
from controller.core.judge.non_inferiority import still_needed
from controller.core.judge.state import Evidence
from controller.core.judge.verdict import Ground, Reason
from controller.core.model.service import Policy

_EVENT = {
    "5xx": "server errors",
    "4xx": "client errors",
    "overdue": "unanswered requests",
    "errors_max": "server errors",
    "latency": "answers slower than stable's p50",
    "latency_max": "answers above the limit of p99",
    **{name: f"answers slower than stable's {name.removeprefix('latency_')}" for name in TAILS},
}
SERIOUS = 0.5
"""A spell is told from this part of what is forgiven on."""
_GROUP = {"5xx": "5xx", "errors_max": "5xx", "4xx": "4xx", "overdue": "overdue"}


def harm_shown(policy: Policy, plan: Plan, evidence: Evidence, total: float) -> Reason:
    """The channel that decided, what it saw, and the evidence in all."""
    return _reading(policy, plan, evidence, evidence.weightiest(plan), total, plan.limit)


def readings(policy: Policy, evidence: Evidence) -> tuple[Reason, ...]:
    """Every channel as it stands: what was seen on both versions, and its evidence on its way to the limit.

    Evidence 1 says nothing; a channel that reaches its limit alone brings the whole to the rollback.
    """
    plan = plan_of(policy)
    found = []
    for name, weight in plan.weights.items():
        found.append(_reading(policy, plan, evidence, name, evidence.harm[name].total / weight, plan.limit / weight))
    return tuple(found)


def gate_readings(policy: Policy, evidence: Evidence, step: int) -> tuple[Reason, ...]:
    """Every metric of the step's gate as it stands."""
    plan = plan_of(policy)
    asked = [metric for metric in GATE_METRICS if required(evidence, metric)]
    return tuple([_gate(plan, evidence, metric, plan.rung_of(step)) for metric in asked])


def required(evidence: Evidence, metric: str) -> bool:
    """Whether the gates ask for this metric: errors always, the rest wherever it has ever been reported."""
    return metric == "5xx" or evidence.timed or (metric == "4xx" and evidence.classed)


def unproven(plan: Plan, evidence: Evidence, step: int) -> list[Ground]:
    """The metrics of the step's gate that have yet to be shown harmless."""
    rung = plan.rung_of(step)
    return [
        partial(_gate, plan, evidence, metric, rung)
        for metric in GATE_METRICS
        if evidence.proofs[metric].shown[rung] < plan.gate_limit and required(evidence, metric)
    ]


def proven(plan: Plan, evidence: Evidence, step: int, total: float) -> Reason:
    """What the gate was opened by; in the bake, that the evidence of harm, `total`, is below its limit."""
    n_c, x_c, n_s, x_s = counts_of(evidence, "5xx")
    seen = f"canary {seen_as(x_c, n_c)}, stable {seen_as(x_s, n_s)}"
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    if evidence.weight >= TOTAL_WEIGHT:
        text = (
            f"no harm seen: {seen} server errors; evidence of harm {figure(total)}, limit {plan.limit:g} "
            f"(a false alarm in {100 / plan.limit:.3g} % of rollouts at most, if all else is as it was)"
        )
        return Reason("no_harm", text, *rates, int(n_c), int(n_s), total, plan.limit)
    rung = plan.rung_of(step)
    shown = min([evidence.proofs[metric].shown[rung] for metric in GATE_METRICS if required(evidence, metric)])
    margin = gate_margin(plan, evidence, "5xx", rung)
    text = (
        f"shown to be no worse than stable + {points(margin, 3)} of server errors: {seen}; "
        f"evidence {figure(shown)}, limit {plan.gate_limit:.3g}"
    )
    return Reason("no_harm", text, *rates, int(n_c), int(n_s), shown, plan.gate_limit, margin=margin)


def warming(policy: Policy, evidence: Evidence) -> Reason:
    """How much of the warm-up is left."""
    if evidence.first is None:
        return Reason("warming", "the canary has had no request yet")
    left = max(0.0, policy.warmup - (evidence.time - evidence.first))
    return Reason("warming", f"the canary is warming up: {left:.0f} s of {format_duration(policy.warmup)} are left")


def blind(evidence: Evidence) -> Reason:
    """Who is not reported on, and for how long."""
    silent = evidence.time - evidence.heard_both
    lost_c, lost_s = evidence.heard_c <= evidence.heard_both, evidence.heard_s <= evidence.heard_both
    who = "the canary" if lost_c and not lost_s else "stable" if lost_s and not lost_c else "both versions"
    return Reason("blind", f"no reports on {who} for {silent:.0f} s")


def quiet(evidence: Evidence) -> Reason:
    """No traffic at all."""
    silent = evidence.time - evidence.arrivals.any_at
    return Reason("no_traffic", f"no requests to either version for {silent:.0f} s: nothing to judge by")


def not_arriving(arrivals: Arrivals, time: float) -> Reason:
    """The canary gets nothing although it must."""
    weight, missed = format_weight(arrivals.weight), arrivals.missed
    silent = f"{time - arrivals.silent_since:.0f} s"
    if arrivals.ever:
        text = (
            f"no request has reached the canary for {silent} at a weight of {weight}, while stable had {missed}: "
            "what is sent to it is lost"
        )
    else:
        text = (
            f"no request has ever reached the canary at a weight of {weight}, while stable had {missed} in {silent}: "
            "is it routed to, or does sticky routing keep all users away?"
        )
    return Reason("no_arrivals", text, stable_n=missed)


def share_off(evidence: Evidence, share: float) -> Reason:
    """The canary gets another share than its weight."""
    text = f"the canary gets {share * 100:.2g} % of the requests at a weight of {format_weight(evidence.weight)}"
    return Reason("share", f"{text}: the comparison is in doubt", canary=share)


def incident(evidence: Evidence) -> Reason:
    """Stable is in trouble itself."""
    server, client = evidence.server, evidence.client
    rate, what = (
        (server, "server") if server.guess - server.baseline >= client.guess - client.baseline else (client, "client")
    )
    text = (
        f"stable itself is in trouble: {what} errors at about {rate.guess * 100:.2g} %, usually "
        f"{rate.seen * 100:.2g} %: weights stay until that is over"
    )
    return Reason("incident", text, stable=rate.guess)


def spell(evidence: Evidence) -> Reason | None:
    """In the bake: the canary is worse than stable was, so far not for longer than is forgiven."""
    for name, forgiven in FORGIVEN.items():
        present = evidence.spells.get(name, NO_SPELL)
        limit = present.limit(forgiven, evidence.time - evidence.changed)
        if present.depth > 0 and present.depth >= limit * SERIOUS:
            n_c, x_c, _, _ = counts_of(evidence, name)
            text = (
                f"{_EVENT[name]}: more than stable had, {seen_as(x_c, n_c)} in the last minutes. Nothing runs beside "
                f"the canary, so it may be everybody's trouble: {present.depth:.1f} seconds of outage so far, "
                f"{limit:.1f} are forgiven"
            )
            return Reason("spell", text, x_c / n_c if n_c else None, canary_n=int(n_c), channel=name)
    return None


def common_mode(policy: Policy, evidence: Evidence) -> Reason | None:
    """Stable breaks the absolute limit of errors too, so it says nothing against the canary."""
    most, rate = policy.errors.max, evidence.server.guess
    if most is None or rate <= most or evidence.weight >= TOTAL_WEIGHT:
        return None
    text = f"stable itself is above the limit of {most * 100:g} % server errors ({rate * 100:.2g} %)"
    return Reason("common_mode", f"{text}: that is not the canary's doing", stable=rate)


def counts_of(evidence: Evidence, name: str) -> tuple[float, float, float, float]:
    """n_c, x_c, n_s, x_s of a channel in the last minutes."""
    group = _GROUP.get(name, "latency")
    recent = evidence.recent.get(group)
    if recent is None:
        return 0.0, 0.0, 0.0, 0.0
    counts = recent.counts
    if group != "latency":
        return counts[0], counts[1], counts[2], counts[3]
    i = TAILS[name][0] if name in TAILS else (TAIL if name == "latency_max" else MEDIAN)
    return counts[0], counts[1 + i], counts[BINS], counts[BINS + 1 + i]


def seen_as(x: float, n: float) -> str:
    """Events among requests: `7 of 251 (2.8 %)`."""
    if not n:
        return "none"
    percent = x / n * 100
    return f"{x:.0f} of {n:.0f} ({percent:.0f} %)" if percent >= 10 else f"{x:.0f} of {n:.0f} ({percent:.2g} %)"


def figure(value: float) -> str:
    """An e-value, short."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"


def _reading(policy: Policy, plan: Plan, evidence: Evidence, name: str, value: float, limit: float) -> Reason:
    n_c, x_c, n_s, x_s = counts_of(evidence, name)
    recent = evidence.recent.get(_GROUP.get(name, "latency"))
    span = max(1.0, evidence.time - recent.since) if recent else 0.0
    text = (
        f"{_EVENT[name]}: canary {seen_as(x_c, n_c)}, stable {seen_as(x_s, n_s)} in the last {span:.0f} s; "
        f"allowed {_allowed(policy, plan, evidence, name)}; evidence {figure(value)}, limit {figure(limit)}"
    )
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason(name, text, *rates, int(n_c), int(n_s), value, limit, channel=name)


def _allowed(policy: Policy, plan: Plan, evidence: Evidence, name: str) -> str:
    errors, latency, bakes = policy.errors, policy.latency, evidence.weight >= TOTAL_WEIGHT
    if name in ("5xx", "4xx"):
        ratio, margin = error_null(policy, plan, evidence, name)
        if bakes:
            return f"{margin * 100:.2g} % (stable's past and a margin)"
        return f"{ratio:g} x stable + {points(margin)}"
    if name == "errors_max":
        return f"{(errors.max or 0) * 100:g} %"
    if name == "overdue":
        return f"{points(STUCK_MARGIN)} more than stable"
    if name == "latency_max":
        return f"1 % above {(latency.p99 or 0) * 1000:g} ms"
    return f"{(slower_than(policy, evidence) - 1) * 100:.0f} % slower"


def _gate(plan: Plan, evidence: Evidence, metric: str, rung: int) -> Reason:
    margin, shown = gate_margin(plan, evidence, metric, rung), evidence.proofs[metric].shown[rung]
    n_c, x_c, n_s, x_s = counts_of(evidence, metric)
    share = min(max(evidence.weight / TOTAL_WEIGHT, 1e-4), 0.9999)
    gate = evidence.proofs[metric].gates[rung]
    needed = still_needed(gate, margin, _usual(evidence, metric), share / (1 - share), plan.gate_limit)
    text = (
        f"{_EVENT[metric]}: not yet shown to be less than {points(margin, 3)} above stable; "
        f"canary {seen_as(x_c, n_c)}, stable {seen_as(x_s, n_s)}; evidence {figure(shown)}, "
        f"limit {plan.gate_limit:.3g}; {_missing(evidence, metric, n_c, needed)}"
    )
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason("insufficient", text, *rates, int(n_c), int(n_s), shown, plan.gate_limit, needed, metric, margin)


def _missing(evidence: Evidence, metric: str, n_c: float, needed: int | None) -> str:
    if not n_c:
        return "the canary has not been seen yet"
    if needed is None:
        return "cannot be shown at stable's rate: a wider margin is needed"
    recent = evidence.recent[_GROUP.get(metric, "latency")]
    pace = n_c / max(1.0, evidence.time - recent.since)
    seconds = needed / pace
    more = counted(needed, "more canary request")
    said = f"needs about {more} at {format_weight(evidence.weight)}, {_span(seconds)} at this rate"
    return f"{said}: raise the share or widen the margin" if seconds > 3600 else said


def _usual(evidence: Evidence, metric: str) -> float:
    if metric in ("5xx", "4xx"):
        return (evidence.server if metric == "5xx" else evidence.client).baseline
    if evidence.thresholds is None:
        return 0.5 if metric == "latency_p50" else 0.01
    return evidence.thresholds.q[MEDIAN if metric == "latency_p50" else TAIL]


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.0f} h"
