"""The judge: a policy, the evidence so far and one window in; the evidence after it and a verdict out.

Pure, and cheap enough to be asked at every report. How it judges is in `evidence` (the bet), `channels` (what is bet
on), `wealth` (when), `gates` (proof of no harm), `arrivals` and `hang` (what no data means).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf, isfinite, sqrt
from typing import Any, NamedTuple

from controller.core import channels
from controller.core.arrivals import Arrivals
from controller.core.blocks import Block
from controller.core.channels import (
    ALTERNATIVES,
    MOST_GAIN,
    ODDS,
    QUANTILES,
    SCORES,
    SHIFTS,
    STUCK,
    TAILS,
    Plan,
    plan_of,
)
from controller.core.evidence import Null, bernoulli_bet, bet_on, e_value, score_e_value
from controller.core.gates import PLACED_COLD as GATES_PLACED_COLD
from controller.core.gates import Gate, still_needed
from controller.core.hang import InFlight
from controller.core.rates import Rate
from controller.core.slowdown import (
    BINS,
    MEDIAN,
    REFRESH,
    TAIL,
    Pair,
    Past,
    Thresholds,
    exceeding,
    with_errors,
)
from controller.core.spec import Policy
from controller.core.units import PARTS, format_duration, format_parts
from controller.core.verdict import Outcome, Reason, Sample, Verdict, Window
from controller.core.wealth import Wealth, left_after

FORMAT = 1
"""The number of the stored form; another one is refused."""
BLIND_AFTER = 5.0
"""Seconds without a report on both sides after which time no longer counts as observed."""
BLIND_HARM = 60.0
"""Seconds of blindness after which `on_blind: rollback` rolls back."""
LOST_AFTER = 60.0
"""Seconds of silence after which what a side reports next is not paired with what the other did meanwhile."""
CALM = 5.0
"""Seconds after an incident of stable during which the gates stay shut."""
PATIENCE, PATIENCE_COLD, PATIENCE_UNKNOWN = 2.0, 5.0, 15.0
"""Seconds after which an unanswered request counts as overdue: after the warm-up, in it, and where stable's latency
is not known."""
PATIENCE_TAILS = 4.0
"""Nothing is overdue before so many times stable's p99."""
BAKE_SLOWER = 1.5
"""In the bake the canary may be slower by this factor beyond the tolerance: its load is another one, and stable's
latency is of the past."""
STALE_START, STALE_PER_MINUTE, STALE_MOST = 3.0, 1.0, 20.0
"""The margin in the bake, in error margins: a baseline of the past is worth less from minute to minute."""
RECENT = 60.0
"""Seconds after which the counts shown to people begin anew; one such span before it is kept."""
GATE_METRICS = ("5xx", "4xx", "latency_p50", "latency_p99")


class Recent(NamedTuple):
    """Counts of the last one or two minutes, for people."""

    since: float = 0.0
    middle: float = 0.0
    old: tuple[float, ...] = ()
    new: tuple[float, ...] = ()

    def after(self, time: float, counts: tuple[float, ...]) -> "Recent":
        """With a block's counts."""
        if not self.new:
            return Recent(time, time, (0.0,) * len(counts), counts)
        if time - self.middle >= RECENT:
            return Recent(self.middle, time, self.new, counts)
        return Recent(self.since, self.middle, self.old, tuple([a + b for a, b in zip(self.new, counts, strict=True)]))

    @property
    def counts(self) -> tuple[float, ...]:
        """All that is kept."""
        return tuple([a + b for a, b in zip(self.old, self.new, strict=True)])


@dataclass(slots=True)
class Evidence:
    """What the judge knows of one rollout. A value: `judge` returns a new one and leaves the old one as it was.

    `time` is seconds of observation time since the rollout's first tick; every other time in here is measured by it,
    so a restart with another clock goes on where it was.
    """

    time: float = 0.0
    at: float | None = None
    weight: int = 0
    changed: float = 0.0
    first: float | None = None
    heard_c: float = 0.0
    heard_s: float = 0.0
    heard_both: float = 0.0
    incident_until: float = -inf
    timed: bool = False
    classed: bool = False
    left: float = 1.0
    harm: dict[str, Wealth] = field(default_factory=dict)
    gates: dict[str, tuple[Gate, ...]] = field(default_factory=dict)
    server: Rate = field(default_factory=Rate)
    client: Rate = field(default_factory=Rate)
    load_c: InFlight = field(default_factory=InFlight)
    load_s: InFlight = field(default_factory=InFlight)
    answers: Block = field(default_factory=lambda: Block(0.002))
    classes: Block = field(default_factory=lambda: Block(0.002))
    stuck: Block = field(default_factory=lambda: Block(0.002))
    past: Past = field(default_factory=lambda: Past({}))
    thresholds: Thresholds | None = None
    pair: Pair = field(default_factory=Pair)
    arrivals: Arrivals = field(default_factory=Arrivals)
    recent: dict[str, Recent] = field(default_factory=dict)

    @classmethod
    def start(cls, policy: Policy) -> "Evidence":
        """Before the first window. The error budget is shared out here, once."""
        plan = plan_of(policy)
        sizes = {"overdue": len(STUCK), "latency": len(SHIFTS)}
        harm = {
            name: Wealth.of(weight, sizes.get(name, len(ODDS) if name in _TAILS else len(ALTERNATIVES)))
            for name, weight in plan.weights.items()
        }
        return cls(harm=harm, gates={metric: (Gate(),) * len(plan.ladder) for metric in GATE_METRICS})

    @property
    def total(self) -> float:
        """The evidence of harm: an e-value over everything that is watched, from the rollout's start."""
        return sum([wealth.total for wealth in self.harm.values()])

    def copy(self) -> "Evidence":
        """An independent one: the parts are immutable, the dictionaries are copied."""
        twin = replace(self)
        twin.harm, twin.gates, twin.recent = self.harm.copy(), self.gates.copy(), self.recent.copy()
        return twin

    def dump(self) -> dict[str, Any]:
        """As JSON values. The clock's reading is left out: clocks start anew."""
        stored = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "at"}
        return {"format": FORMAT, **stored}

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "Evidence":
        """What `dump` wrote; ValueError for anything else."""
        if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
            raise ValueError("evidence of another format")
        try:
            return _loaded(stored)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"not stored evidence: {error!r}") from error


_TAILS = {
    f"latency_p{round(quantile * 100)}": (QUANTILES.index(quantile), margin) for quantile, margin in TAILS.items()
}


def judge(policy: Policy, evidence: Evidence, window: Window, step: int) -> tuple[Evidence, Verdict]:
    """One look. `step` is the index of the step whose gate is asked for."""
    plan = plan_of(policy)
    after = evidence.copy()
    seconds = _advance(policy, after, window)
    warm = after.first is not None and after.time - after.first >= policy.warmup
    canary, stable = window.canary, window.stable
    lost_c = canary is not None and after.time - evidence.heard_c - seconds > LOST_AFTER
    lost_s = stable is not None and after.time - evidence.heard_s - seconds > LOST_AFTER and window.weight < PARTS
    if lost_c or lost_s:
        _begin_blocks(after)
        canary, stable = (None if lost_c else canary), (None if lost_s else stable)
    _count(after, canary, stable, seconds, warm)
    _settle(policy, plan, after, step, warm)
    return after, _verdict(policy, plan, after, step, warm)


def _advance(policy: Policy, after: Evidence, window: Window) -> float:
    """Move the clocks: the seconds since the last tick."""
    seconds = max(0.0, window.at - after.at) if after.at is not None else 0.0
    after.at, after.time = window.at, after.time + seconds
    if after.first is None and window.canary and (window.canary.started or window.canary.answered):
        after.first = after.time
    if window.canary is not None:
        after.heard_c = after.time
    if window.stable is not None:
        after.heard_s = after.time
    if window.canary is not None and (window.stable is not None or window.weight >= PARTS):
        after.heard_both = after.time
    changed = window.weight != after.weight
    since = after.time - after.first - policy.warmup if after.first is not None else -1.0
    after.left = left_after(after.left, max(0.0, since), seconds, warm=since >= 0, changed=changed and after.weight > 0)
    if changed:
        after.weight, after.changed = window.weight, after.time
        if window.weight >= PARTS:
            _begin_blocks(after)
    c, s = window.canary, window.stable
    after.arrivals = after.arrivals.after(
        after.time, seconds, window.weight, c.started if c else None, s.started if s else None
    )
    return seconds


def _begin_blocks(after: Evidence) -> None:
    """Drop what is in the open blocks."""
    after.answers = Block(after.server.guess)
    after.classes = Block(after.client.guess)
    after.stuck = Block(0.001)
    after.pair, after.thresholds = Pair(), None


def _count(after: Evidence, canary: Sample | None, stable: Sample | None, seconds: float, warm: bool) -> None:
    """Add a tick to the open blocks, and stable's side to what is known of the past."""
    patience = _patience(after, warm)
    latency_c = latency_s = None
    timed = after.timed
    if canary is not None:
        n, bad = canary.answered, canary.errors.get("4xx", 0)
        errors = n - canary.ok
        latency_c = [bucket for bucket in canary.latency if bucket[1]]
        after.answers = after.answers.with_canary(n, errors - bad)
        after.classes = after.classes.with_canary(n, bad, heard=bool(latency_c) or (after.classed and not timed))
        after.load_c, of_age, overdue = after.load_c.after(after.time, canary.started, n, patience)
        after.stuck = after.stuck.with_canary(of_age, overdue)
        if after.thresholds:
            after.pair = after.pair.with_canary(n, errors, latency_c, after.thresholds)
        after.classed = after.classed or "4xx" in canary.errors
    if stable is not None:
        n, bad = stable.answered, stable.errors.get("4xx", 0)
        errors = n - stable.ok
        latency_s = [bucket for bucket in stable.latency if bucket[1]]
        after.answers = after.answers.with_stable(n, errors - bad)
        after.classes = after.classes.with_stable(n, bad, heard=bool(latency_s) or (after.classed and not timed))
        after.load_s, of_age, overdue = after.load_s.after(after.time, stable.started, n, patience)
        after.stuck = after.stuck.with_stable(of_age, overdue)
        if after.thresholds:
            after.pair = after.pair.with_stable(n, errors, latency_s, after.thresholds)
        _learn(after, n, errors - bad, bad, latency_s, seconds)
    after.timed = timed or bool(latency_c) or bool(latency_s)


def _learn(after: Evidence, n: int, failed: int, bad: int, latency: list[tuple[float, int]], seconds: float) -> None:
    """What stable's side says of the present, for the guesses of later blocks."""
    troubled = after.time < after.incident_until
    after.server = after.server.after(n, failed, seconds, incident=troubled)
    after.client = after.client.after(n, bad, seconds, incident=troubled)
    if after.server.troubled or after.client.troubled:
        after.incident_until = after.time + CALM
    if latency:
        after.past = after.past.after(latency, seconds)


def _patience(after: Evidence, warm: bool) -> float:
    least = PATIENCE if warm else PATIENCE_COLD
    if after.thresholds is None:
        return PATIENCE_UNKNOWN if warm and not after.past.enough else PATIENCE_COLD
    tail = after.thresholds.stable[TAIL]
    return max(least, PATIENCE_TAILS * tail / 1000) if isfinite(tail) else PATIENCE_UNKNOWN


def _settle(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool) -> None:
    """Close the blocks that can be closed: bet, then open the next one with what is known now."""
    weight = after.weight
    if after.answers.closes(weight):
        _settle_answers(policy, plan, after, step, warm)
        after.answers = Block(after.server.guess)
    elif after.answers.stale(weight):
        after.answers = Block(after.server.guess)
    if after.classes.closes(weight):
        _settle_classes(policy, plan, after, step, warm)
        after.classes = Block(after.client.guess)
    elif after.classes.stale(weight):
        after.classes = Block(after.client.guess)
    if after.stuck.closes(weight):
        _settle_stuck(plan, after, warm)
        after.stuck = Block(0.001)
    elif after.stuck.stale(weight):
        after.stuck = Block(0.001)
    if after.thresholds and after.pair.closes(weight):
        _settle_latency(policy, plan, after, step, warm)
        after.pair = Pair()
    elif after.pair.stale(weight):
        after.pair = Pair()
    _renew_thresholds(policy, after)


def _renew_thresholds(policy: Policy, after: Evidence) -> None:
    """Move the thresholds along with stable, only while no block is open."""
    due = after.thresholds is None or after.time - after.past.refreshed >= REFRESH
    if not due or not after.past.enough or after.pair != Pair():
        return
    slower = 1 + policy.latency.tolerance
    limit = policy.latency.p99 * 1000 if policy.latency.p99 is not None else inf
    errors = after.server.guess + after.client.guess
    baking = BAKE_SLOWER if after.weight >= PARTS else 1.0
    after.thresholds = after.past.thresholds((), slower * baking, slower * channels.GATE_SLACK, limit, errors)
    after.past = after.past._replace(refreshed=after.time)


def _null(policy: Policy, plan: Plan, after: Evidence, block: Block, rate: Rate, warm: bool) -> Null:
    """The null of an error channel: against stable, or where stable has no traffic against its past."""
    if not (after.weight >= PARTS and block.alone):
        return plan.harm if warm else plan.cold
    past = rate.baseline + 2 * sqrt(rate.baseline / (rate.n + 250.0))
    return Null(0.0, min(0.9, policy.errors.ratio * past + _stale_margin(policy, after)))


def _stale_margin(policy: Policy, after: Evidence) -> float:
    margins = min(STALE_MOST, STALE_START + STALE_PER_MINUTE * (after.time - after.changed) / 60.0)
    return margins * max(policy.errors.margin, 0.001)


def _bet(after: Evidence, name: str, plan: Plan, shares: Sequence[float], e_values: Sequence[float]) -> None:
    after.harm[name] = after.harm[name].after(after.left * plan.weights[name], shares, e_values)


_ERROR_SHARES = tuple(share for _, share in ALTERNATIVES)


def _bet_on_errors(after: Evidence, name: str, plan: Plan, null: Null, block: Block) -> None:
    q, n_c, x_c, n_s, x_s, _, _ = block
    allowed = null.ratio * q + null.margin
    if allowed >= 0.9:
        return
    r = n_c / n_s if n_s else 0.0
    e_values = []
    for more, _ in ALTERNATIVES:
        p = min(allowed + more, allowed * MOST_GAIN, (1 + allowed) / 2 if more > 0.5 else allowed + more, 0.98)
        p = max(p, allowed * 1.0001)
        e_values.append(e_value(bet_on(null, q, p, r), n_c, x_c, n_s, x_s))
    _bet(after, name, plan, _ERROR_SHARES, e_values)


def _settle_answers(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool) -> None:
    block = after.answers
    null = _null(policy, plan, after, block, after.server, warm)
    _bet_on_errors(after, "5xx", plan, null, block)
    if policy.errors.max is not None:
        stable_breaks = block.x_s > policy.errors.max * block.n_s or after.server.baseline > policy.errors.max
        if not stable_breaks:
            _bet_on_errors(after, "errors_max", plan, Null(0.0, policy.errors.max), block)
    counts = (block.n_c, block.x_c, block.n_s, block.x_s)
    _recount(after, "5xx", counts)
    _prove(plan, after, "5xx", step, warm, block.q, counts)


def _settle_classes(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool) -> None:
    block = after.classes
    null = _null(policy, plan, after, block, after.client, warm)
    if null.ratio == 0.0:
        null = Null(0.0, min(0.9, null.margin + 2 * _stale_margin(policy, after)))
    _bet_on_errors(after, "4xx", plan, null, block)
    counts = (block.n_c, block.x_c, block.n_s, block.x_s)
    _recount(after, "4xx", counts)
    _prove(plan, after, "4xx", step, warm, block.q, counts)


def _settle_stuck(plan: Plan, after: Evidence, warm: bool) -> None:
    q, n_c, x_c, n_s, x_s, _, _ = after.stuck
    margin = channels.STUCK_MARGIN if warm else channels.STUCK_MARGIN_COLD
    null = Null(0.0, margin) if after.stuck.alone else Null(1.1, margin)
    allowed = null.ratio * q + null.margin
    r = n_c / n_s if n_s else 0.0
    e_values = [
        e_value(bernoulli_bet(null, q, allowed + (1 - allowed) * more, r), n_c, x_c, n_s, x_s) for more, _ in STUCK
    ]
    _bet(after, "overdue", plan, [share for _, share in STUCK], e_values)
    _recount(after, "overdue", (n_c, x_c, n_s, x_s))


def _settle_latency(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool) -> None:
    pair, at = after.pair, after.thresholds
    assert at is not None
    bins_c = with_errors(pair.bins_c, pair.n_c, pair.errors_c, slowest=True)
    bins_s = with_errors(pair.bins_s, pair.n_s, pair.errors_s, slowest=False)
    over_c, over_s = exceeding(bins_c), exceeding(bins_s)
    n_c, n_s = sum(bins_c), sum(bins_s)
    alone = after.weight >= PARTS and pair.alone
    if warm:
        _bet_on_latency(plan, after, at, (n_c, bins_c, over_c), (n_s, bins_s, over_s), alone)
    if warm and policy.latency.p99 is not None and at.over <= 0.01:
        over = max(pair.beyond[2], min(pair.errors_c, n_c))
        null = Null(0.0, 0.01)
        e_values = [e_value(bernoulli_bet(null, 0.0, p, 0.0), n_c, over, 0, 0) for p in (0.014, 0.025, 0.1, 0.3, 0.6)]
        _bet(after, "latency_max", plan, _ERROR_SHARES, e_values)
    _recount(after, "latency", (n_c, *over_c, n_s, *over_s))
    if not alone:
        timed_c, timed_s, plain = sum(pair.bins_c), sum(pair.bins_s), exceeding(pair.bins_s)
        for metric, i, beyond in (("latency_p50", MEDIAN, pair.beyond[0]), ("latency_p99", TAIL, pair.beyond[1])):
            _prove(plan, after, metric, step, warm, at.q[i], (timed_c, beyond, timed_s, plain[i]))


def _bet_on_latency(
    plan: Plan,
    after: Evidence,
    at: Thresholds,
    canary: tuple[int, list[int], list[int]],
    stable: tuple[int, list[int], list[int]],
    alone: bool,
) -> None:
    (n_c, bins_c, over_c), (n_s, bins_s, over_s) = canary, stable
    r = 0.0 if alone else n_c / n_s
    for name, (i, margin) in _TAILS.items():
        q = at.q[i]
        null = Null(0.0, min(0.98, q + margin)) if alone else Null(1.0, margin)
        allowed = min(0.985, q + margin)
        odds = allowed / (1 - allowed)
        e_values = []
        for times, _ in ODDS:
            p = odds * times / (1 + odds * times)
            e_values.append(e_value(bernoulli_bet(null, q, p, r), n_c, over_c[i], n_s, over_s[i]))
        _bet(after, name, plan, [share for _, share in ODDS], e_values)
    if not alone:
        mean = 0.5
        shifted = [
            score_e_value(
                Null(1.0, channels.SHIFT_MARGIN), mean, mean + channels.SHIFT_MARGIN + more, SCORES, bins_c, bins_s
            )
            for more, _ in SHIFTS
        ]
        _bet(after, "latency", plan, [share for _, share in SHIFTS], shifted)


def _recount(after: Evidence, name: str, counts: tuple[float, ...]) -> None:
    after.recent[name] = after.recent.get(name, Recent()).after(after.time, counts)


def _prove(
    plan: Plan, after: Evidence, metric: str, step: int, warm: bool, q: float, counts: tuple[float, ...]
) -> None:
    """Bet on the gates that are still ahead, unless stable is in trouble: its margins would mean nothing then."""
    if after.weight >= PARTS or after.time < after.incident_until:
        return
    left = after.left if warm else 1.0 - GATES_PLACED_COLD
    gates = list(after.gates[metric])
    for i in range(plan.rung[min(step, len(plan.rung) - 1)], len(gates)):
        margin = plan.margin(metric, i)
        gates[i] = gates[i].after(left, margin, q, counts, plan.gate_limit * 20)
    after.gates[metric] = tuple(gates)


def _verdict(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool) -> Verdict:
    blind_for = after.time - after.heard_both
    blind = blind_for > BLIND_AFTER
    harm = _harm(policy, plan, after, blind_for)
    if harm:
        return Verdict(Outcome.HARM, harm, warm=warm, blind=blind)
    doubts = _doubts(policy, plan, after, step, warm, blind)
    if doubts:
        return Verdict(Outcome.UNKNOWN, tuple(doubts), warm=warm, blind=blind)
    return Verdict(Outcome.PASS, (_passed(plan, after, step),), warm=warm, blind=blind)


def _harm(policy: Policy, plan: Plan, after: Evidence, blind_for: float) -> tuple[Reason, ...]:
    total = after.total
    if total >= plan.limit:
        name = max(after.harm, key=lambda name: after.harm[name].total - after.left * plan.weights[name])
        return (_harm_reason(policy, plan, after, name, total),)
    if after.arrivals.ever and after.arrivals.none_arrive(after.time):
        a = after.arrivals
        silent = after.time - a.silent_since
        text = (
            f"no request has reached the canary for {silent:.0f} s at a weight of {format_parts(a.weight)}, "
            f"while stable had {a.missed}: what is sent to it is lost"
        )
        return (Reason("no_arrivals", text, stable_n=a.missed),)
    if policy.on_blind == "rollback" and blind_for >= BLIND_HARM:
        return (Reason("blind", f"no reports for {blind_for:.0f} s, and the policy says rollback"),)
    return ()


def _harm_reason(policy: Policy, plan: Plan, after: Evidence, name: str, total: float) -> Reason:
    n_c, x_c, n_s, x_s = _counts_of(after, name)
    rate_c, rate_s = x_c / n_c if n_c else 0.0, x_s / n_s if n_s else 0.0
    span = after.time - after.recent[_GROUP.get(name, "latency")].since
    text = (
        f"{_EVENT.get(name, _slow_text(name))}: canary {_seen(x_c, n_c)}, stable {_seen(x_s, n_s)} in the last "
        f"{max(1.0, span):.0f} s; allowed {_allowed(policy, name)}; "
        f"evidence {_figure(total)}, limit {plan.limit:g}"
    )
    return Reason(name, text, rate_c, rate_s, int(n_c), int(n_s), total, plan.limit, channel=name)


_GROUP = {"5xx": "5xx", "errors_max": "5xx", "4xx": "4xx", "overdue": "overdue"}
_EVENT = {
    "5xx": "errors (5xx)",
    "4xx": "client errors (4xx)",
    "overdue": "unanswered requests",
    "errors_max": "errors (5xx) against the absolute limit",
    "latency": "answers slower than stable's p50",
    "latency_max": "answers slower than the absolute limit of p99",
}


def _slow_text(name: str) -> str:
    return f"answers slower than stable's {name.removeprefix('latency_')}"


def _allowed(policy: Policy, name: str) -> str:
    errors, latency = policy.errors, policy.latency
    if name in ("5xx", "4xx"):
        return f"{errors.ratio:g} x stable + {errors.margin * 100:g} points"
    if name == "errors_max":
        return f"{(errors.max or 0) * 100:g} %"
    if name == "overdue":
        return f"stable + {channels.STUCK_MARGIN * 100:g} points"
    if name == "latency_max":
        return f"1 % above {(latency.p99 or 0) * 1000:g} ms"
    return f"{latency.tolerance * 100:g} % slower"


def _counts_of(after: Evidence, name: str) -> tuple[float, float, float, float]:
    """n_c, x_c, n_s, x_s of the last minutes."""
    group = _GROUP.get(name, "latency")
    recent = after.recent.get(group)
    if recent is None:
        return 0.0, 0.0, 0.0, 0.0
    counts = recent.counts
    if group != "latency":
        return counts[0], counts[1], counts[2], counts[3]
    i = _TAILS[name][0] if name in _TAILS else (TAIL if name == "latency_max" else MEDIAN)
    return counts[0], counts[1 + i], counts[BINS], counts[BINS + 1 + i]


def _seen(x: float, n: float) -> str:
    return f"{x:.0f} of {n:.0f} ({x / n * 100:.2g} %)" if n else "none"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"


def _doubts(policy: Policy, plan: Plan, after: Evidence, step: int, warm: bool, blind: bool) -> list[Reason]:
    """Why there is no proof; empty if there is."""
    doubts: list[Reason] = []
    if blind:
        text = f"no reports on both versions for {after.time - after.heard_both:.0f} s"
        return [Reason("blind", text)]
    if after.arrivals.no_traffic(after.time):
        return [
            Reason("no_traffic", f"no requests for {after.time - after.arrivals.any_at:.0f} s: nothing to judge by")
        ]
    if after.arrivals.none_arrive(after.time):
        a = after.arrivals
        text = (
            f"the canary has never had a request, though stable had {a.missed} at a weight of "
            f"{format_parts(a.weight)}: "
            "are the proxies in sync, does sticky routing keep users away?"
        )
        doubts.append(Reason("no_arrivals", text, stable_n=a.missed))
    if after.time < after.incident_until:
        q = max(after.server.guess, after.client.guess)
        text = f"stable itself is in trouble: about {q * 100:.2g} % errors, usually {after.server.baseline * 100:.2g} %"
        doubts.append(Reason("incident", text, stable=q))
    share = after.arrivals.share
    if share is not None:
        text = f"the canary gets {share * 100:.2g} % of the requests at a weight of {format_parts(after.weight)}"
        doubts.append(Reason("share", text, canary=share))
    if not warm:
        doubts.append(_warming(policy, after))
    if after.weight < PARTS:
        doubts.extend(_unproven(plan, after, step))
    total = after.total
    if total >= sqrt(plan.limit):
        name = max(after.harm, key=lambda name: after.harm[name].total)
        doubts.append(_harm_reason(policy, plan, after, name, total))
    return doubts


def _warming(policy: Policy, after: Evidence) -> Reason:
    if after.first is None:
        return Reason("warming", "the canary has had no request yet")
    left = policy.warmup - (after.time - after.first)
    return Reason("warming", f"the canary is warming up: {left:.0f} s of {format_duration(policy.warmup)} are left")


def _unproven(plan: Plan, after: Evidence, step: int) -> list[Reason]:
    rung = plan.rung[min(step, len(plan.rung) - 1)]
    found = []
    for metric in GATE_METRICS:
        if not _required(after, metric):
            continue
        evidence = max(gate.total for gate in after.gates[metric][rung:])
        if evidence < plan.gate_limit:
            found.append(_insufficient(plan, after, metric, rung, evidence))
    return found


def _required(after: Evidence, metric: str) -> bool:
    """Whether the gate asks for this metric: errors always, the rest wherever it is reported at all."""
    if metric == "5xx":
        return True
    return after.timed or (metric == "4xx" and after.classed)


def _insufficient(plan: Plan, after: Evidence, metric: str, rung: int, evidence: float) -> Reason:
    margin = plan.margin(metric, rung)
    n_c, x_c, n_s, x_s = _counts_of(after, metric)
    q = _guess(after, metric)
    share = min(max(after.weight / PARTS, 1e-4), 0.9999)
    needed = still_needed(after.gates[metric][rung], margin, q, share / (1 - share), plan.gate_limit)
    recent = after.recent.get(_GROUP.get(metric, "latency"))
    span = max(after.time - recent.since, 1.0) if recent else 1.0
    pace = n_c / span
    more = "cannot be shown at this error rate" if needed is None else f"needs about {needed} more canary requests"
    if needed and pace > 0:
        more += f", {_eta(needed / pace)} at this rate"
    text = (
        f"{_EVENT.get(metric, _slow_text(metric))}: not yet shown to be less than {margin * 100:.3g} points above "
        f"stable; canary {_seen(x_c, n_c)}, stable {_seen(x_s, n_s)}; evidence {_figure(evidence)}, "
        f"limit {plan.gate_limit:.3g}; {more}"
    )
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    return Reason("insufficient", text, *rates, int(n_c), int(n_s), evidence, plan.gate_limit, needed, metric, margin)


def _guess(after: Evidence, metric: str) -> float:
    if metric == "5xx":
        return after.server.guess
    if metric == "4xx":
        return after.client.guess
    return (0.5 if metric == "latency_p50" else 0.01) if after.thresholds else 0.01


def _eta(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.0f} h"


def _passed(plan: Plan, after: Evidence, step: int) -> Reason:
    n_c, x_c, n_s, x_s = _counts_of(after, "5xx")
    rates = (x_c / n_c if n_c else None, x_s / n_s if n_s else None)
    if after.weight >= PARTS:
        evidence = f"evidence of harm {_figure(after.total)}, limit {plan.limit:g}"
        text = f"no harm seen: canary {_seen(x_c, n_c)} errors; {evidence}"
        return Reason("no_harm", text, *rates, int(n_c), int(n_s), after.total, plan.limit)
    rung = plan.rung[min(step, len(plan.rung) - 1)]
    margin = plan.margin("5xx", rung)
    shown = min(max(g.total for g in after.gates[m][rung:]) for m in GATE_METRICS if _required(after, m))
    text = (
        f"shown to be no worse than stable + {margin * 100:.3g} points of errors: canary "
        f"{_seen(x_c, n_c)}, stable {_seen(x_s, n_s)}; evidence {_figure(shown)}, limit {plan.gate_limit:.3g}"
    )
    return Reason("no_harm", text, *rates, int(n_c), int(n_s), shown, plan.gate_limit, margin=margin)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return "inf" if value > 0 else "-inf"
    return value


def _real(value: Any) -> Any:
    """The inverse of `_plain`, lists as tuples."""
    if isinstance(value, list):
        return tuple(_real(item) for item in value)
    return float(value) if value in ("inf", "-inf") else value


def _loaded(stored: Mapping[str, Any]) -> Evidence:
    values = {f.name: _real(stored[f.name]) for f in fields(Evidence) if f.name != "at"}
    parts: dict[str, Any] = {
        "server": Rate,
        "client": Rate,
        "load_c": InFlight,
        "load_s": InFlight,
        "answers": Block,
        "classes": Block,
        "stuck": Block,
        "pair": Pair,
        "arrivals": Arrivals,
    }
    for name, part in parts.items():
        values[name] = part(*values[name])
    values["past"] = Past(dict(values["past"][0]), *values["past"][1:])
    values["thresholds"] = Thresholds(*values["thresholds"]) if values["thresholds"] else None
    values["harm"] = {name: Wealth(*wealth) for name, wealth in values["harm"]}
    values["gates"] = {metric: tuple(Gate(*gate) for gate in gates) for metric, gates in values["gates"]}
    values["recent"] = {name: Recent(*recent) for name, recent in values["recent"]}
    return Evidence(**values)
