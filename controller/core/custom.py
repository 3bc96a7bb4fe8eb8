"""Custom metrics: what Envoy cannot know, such as accuracy against late labels, judged beside the rest.

A rate goes through the same e-process as errors, with a part of the error budget of its own (`BUDGET`): the false
rollbacks of all that is judged stay within `false_rollback`, since the parts add up to it. A gauge has no such promise:
it is worse when `k` of its last `n` readings are worse than stable's by more than the margin, which bounds how long
it takes and not how often it errs. A reading that is missing is no reading: it holds the gate, and no more, unless the
policy says `on_blind: rollback`. At 100 % there is no stable to compare with, so nothing is judged.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from controller.core.channels import GATE_TARGETS
from controller.core.evidence import Null, bernoulli_bet, e_value, e_values, grown
from controller.core.readings import Counted, Gauged, Reading, Unread
from controller.core.spec import MetricPolicy, Policy
from controller.core.units import PARTS
from controller.core.verdict import Outcome, Reason, Verdict, Window

BUDGET = 0.2
"""The part of `false_rollback` that goes to the custom rates, all together."""
ALTERNATIVES = ((0.02, 0.4), (0.1, 0.4), (0.3, 0.2))
"""Rates above what the margin allows, as shares, each with its part of the stake."""
PLACED, PLACED_LATER = 0.5, 0.05
"""The part of the stake that bets from the first block on; and of the rest, what each later block adds."""
SILENT = 60.0
"""Seconds without a reading after which a metric is unknown, and after which `on_blind: rollback` rolls back."""
HIGHEST = 0.97
_PROOF = tuple(share for _, share in GATE_TARGETS)


class Followed(NamedTuple):
    """What is known of one metric. `heard` is when it was last read; `why` says why it was not, the last time."""

    heard: float | None = None
    why: str = "it has not been read yet"
    unplaced: float = 1.0
    bets: tuple[float, ...] = (0.0,) * len(ALTERNATIVES)
    proof: tuple[float, ...] = _PROOF
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Of everything so far, as in `Counted`."""
    gauge: tuple[float, float] | None = None
    worse: tuple[bool, ...] = ()
    decisive: int = 0
    """How many of `worse` decide."""

    @property
    def evidence(self) -> float:
        """Of harm."""
        return self.unplaced + sum(self.bets)


Custom = Mapping[str, Followed]
"""By the metric's name."""


@lru_cache(maxsize=256)
def without_custom(policy: Policy) -> Policy:
    """The policy for everything else: with the part of the error budget that custom metrics leave."""
    if not policy.metrics:
        return policy
    return policy.model_copy(update={"false_rollback": policy.false_rollback * (1 - BUDGET), "metrics": ()})


def with_custom(
    policy: Policy, custom: Custom, window: Window, time: float, verdict: Verdict
) -> tuple[Custom, Verdict]:
    """The verdict on everything. `time` is seconds of observation; `verdict` is the one on everything else."""
    if not policy.metrics or window.weight >= PARTS:
        return custom, verdict
    after = {
        metric.name: _after(policy, metric, custom.get(metric.name, Followed()), window, time, warm=verdict.warm)
        for metric in policy.metrics
    }
    if verdict.outcome is Outcome.HARM:
        return after, verdict
    harm = _harm(policy, after, time, warm=verdict.warm)
    if harm:
        return after, Verdict(Outcome.HARM, (harm,), verdict.warm, verdict.blind)
    doubts = tuple(reason for metric in policy.metrics if (reason := _doubt(policy, metric, after[metric.name], time)))
    if not doubts:
        return after, verdict
    others = verdict.reasons if verdict.outcome is Outcome.UNKNOWN else ()
    return after, Verdict(Outcome.UNKNOWN, (*others, *doubts), verdict.warm, verdict.blind)


def dump(custom: Custom) -> dict[str, Any]:
    """As JSON values."""
    return {name: list(followed) for name, followed in custom.items()}


def load(stored: Mapping[str, Any]) -> Custom:
    """What `dump` gave, through JSON; TypeError for anything else."""
    return {
        name: Followed._make(tuple(value) if isinstance(value, list) else value for value in values)
        for name, values in stored.items()
    }


def _after(
    policy: Policy, metric: MetricPolicy, before: Followed, window: Window, time: float, *, warm: bool
) -> Followed:
    reading: Reading | None = window.custom.get(metric.name)
    match reading:
        case Unread(why):
            return before._replace(why=why)
        case Counted():
            heard = before._replace(heard=time, why="")
            return _counted(metric, heard, reading, 1 / (1 - policy.confidence)) if warm else heard
        case Gauged():
            worse = (*before.worse, reading.excess > metric.margin)[-reading.n :] if warm else ()
            gauge = (reading.canary, reading.stable)
            return before._replace(heard=time, why="", gauge=gauge, worse=worse, decisive=reading.k)
        case _:
            return before


def _counted(metric: MetricPolicy, before: Followed, block: Counted, most: float) -> Followed:
    """After a block: it is bet on with what was known before it, so the first one is only learnt from."""
    old_n_c, old_x_c, past_n, past_x = before.counts
    n_c, n_s = block.canary_n, block.stable_n
    counts = (old_n_c + n_c, old_x_c + block.canary_x, past_n + n_s, past_x + block.stable_x)
    after = before._replace(counts=counts)
    if not past_n or not n_c or not n_s:
        return after
    q, r = (past_x + 0.5) / (past_n + 1), n_c / n_s
    null, allowed = Null(1.0, metric.margin), q + metric.margin
    proof = before.proof
    if allowed < HIGHEST:
        fresh = before.unplaced * (PLACED if not any(before.bets) else PLACED_LATER)
        targets = [min(allowed + more, (HIGHEST + allowed) / 2) for more, _ in ALTERNATIVES]
        found = e_values(null, q, targets, r, block)
        bets = tuple(
            grown(bet + fresh * share, e) for bet, (_, share), e in zip(before.bets, ALTERNATIVES, found, strict=True)
        )
        proof = tuple(
            min(most * 20, grown(wealth, e_value(bernoulli_bet(null, q, q + part * metric.margin, r), *block)))
            for wealth, (part, _) in zip(before.proof, GATE_TARGETS, strict=True)
        )
        after = after._replace(unplaced=before.unplaced - fresh, bets=bets)
    return after._replace(proof=proof)


def _harm(policy: Policy, custom: Custom, time: float, *, warm: bool) -> Reason | None:
    rates = [name for name in custom if custom[name].gauge is None]
    total = sum(custom[name].evidence for name in rates) / len(custom)
    limit = 1 / (policy.false_rollback * BUDGET)
    if rates and total >= limit:
        name = max(rates, key=lambda name: custom[name].evidence)
        return _told(policy, name, custom[name], total, limit)
    for name, followed in custom.items():
        if followed.gauge and followed.decisive and sum(followed.worse) >= followed.decisive:
            return _told(policy, name, followed, None, None)
    if policy.on_blind == "rollback" and warm:
        for name, followed in custom.items():
            if time - (followed.heard or 0.0) >= SILENT:
                return Reason("metric_unknown", f"{name} has not been read for a minute: {followed.why}", channel=name)
    return None


def _doubt(policy: Policy, metric: MetricPolicy, followed: Followed, time: float) -> Reason | None:
    """Why the gate of a metric is shut."""
    name = metric.name
    if followed.why or followed.heard is None or time - followed.heard > SILENT:
        why = followed.why or f"nothing for {time - (followed.heard or 0.0):.0f} s"
        return Reason("metric_unknown", f"{name} is unknown: {why}", channel=name)
    if followed.gauge:
        return _told(policy, name, followed, None, None) if any(followed.worse) or not followed.worse else None
    shown, limit = sum(followed.proof), 1 / (1 - policy.confidence)
    if shown >= limit:
        return None
    n_c, x_c, n_s, x_s = followed.counts
    text = (
        f"{name}: not yet shown to be less than {metric.margin * 100:.3g} points above stable: canary {x_c} of {n_c}, "
        f"stable {x_s} of {n_s}; evidence {shown:.2g}, limit {limit:.3g}"
    )
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason("insufficient", text, *rates, n_c, n_s, shown, limit, channel=name, margin=metric.margin)


def _told(policy: Policy, name: str, followed: Followed, evidence: float | None, limit: float | None) -> Reason:
    margin = next(metric.margin for metric in policy.metrics if metric.name == name)
    if followed.gauge:
        canary, stable = followed.gauge
        text = (
            f"{name}: canary {canary:.4g}, stable {stable:.4g}; worse by more than {margin * 100:g} % in "
            f"{sum(followed.worse)} of the last {len(followed.worse)} readings, {followed.decisive} decide"
        )
        return Reason("custom", text, canary, stable, channel=name)
    n_c, x_c, n_s, x_s = followed.counts
    text = f"{name}: canary {x_c} of {n_c}, stable {x_s} of {n_s}; allowed stable + {margin * 100:g} points"
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason("custom", text, *rates, n_c, n_s, evidence, limit, channel=name)
