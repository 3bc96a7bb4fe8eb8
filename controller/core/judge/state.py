"""Everything that the judge knows of one rollout.

`time` is seconds of observation since the rollout's first tick. Every other time in here is
measured on it, so a restart with another clock continues where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import inf
from operator import attrgetter
from typing import NamedTuple

from controller.core.judge.arrivals import Arrivals
from controller.core.judge.baseline import Baseline
from controller.core.judge.block import ERROR_PACE, MOMENT, Block
from controller.core.judge.channels import ALTERNATIVES_OF, LATENCY, TTFT, Plan, plan_of
from controller.core.judge.design_effect import DesignEffect
from controller.core.judge.latency_block import TAIL
from controller.core.judge.non_inferiority import NonInferiorityTest
from controller.core.judge.overdue_counter import OverdueCounter
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.recent_counts import RecentCounts
from controller.core.judge.timing import Timing
from controller.core.judge.wealth import Wealth
from controller.core.model.service import Policy

TURNOVER_TAILS, TURNOVER_UNKNOWN, TURNOVER_MOST = 2.0, 10.0, 600.0
"""How long after a change of weight responses are of requests of the weight before: so many times
stable's p99, seconds where that is unknown, and seconds at most."""


@dataclass(slots=True)
class JudgeState:
    """A value: `judge` returns a new one and leaves the one that it was given as it was."""

    time: float = 0.0
    window_clock: float | None = None
    """The window's clock at `time`; None after a restart."""
    weight: int = 0
    """The canary's, in basis points."""
    weight_changed_at: float = 0.0
    shadow: bool = False
    """Whether the canary's requests are copies: then `weight` is the one at which it would have as many."""
    first_canary_request: float | None = None
    """When the canary's first request was reported: the warm-up's beginning."""
    warm: bool = False
    """Whether the warm-up is over."""
    last_report: float | None = None
    """When a report last came, of either version."""
    last_report_canary: float = 0.0
    last_report_stable: float = 0.0
    last_report_both: float = 0.0
    incident_until: float = -inf
    """Until when stable counts as having an incident of its own."""
    latency_reported: bool = False
    """Whether any latency has ever been reported."""
    client_errors_reported: bool = False
    """Whether any count of 4xx has ever been reported, zero included."""
    unplaced: float = 1.0
    """The part of every channel's stake that is not yet placed."""
    harm: dict[str, Wealth] = field(default_factory=dict)
    """By channel: the wealth of the bets on harm."""
    non_inferiority: dict[str, NonInferiorityTest] = field(default_factory=dict)
    """By gate metric: the proof of no harm."""
    server_errors: Baseline = Baseline()  # noqa: RUF009  (a named tuple)
    client_errors: Baseline = Baseline()  # noqa: RUF009
    overdue_canary: OverdueCounter = OverdueCounter()  # noqa: RUF009
    overdue_stable: OverdueCounter = OverdueCounter()  # noqa: RUF009
    error_block: Block = Block(0.002)  # noqa: RUF009
    client_error_block: Block = Block(0.002)  # noqa: RUF009
    overdue_block: Block = Block(0.001)  # noqa: RUF009
    times: dict[str, Timing] = field(default_factory=lambda: {LATENCY: Timing()})
    """The times that are watched: to the last byte always, to the first token where it is judged."""
    settling: dict[str, float] = field(default_factory=dict)
    """By gate metric: how far the canary has been seen good since its traffic began or rose."""
    server_error_effect: DesignEffect = DesignEffect()  # noqa: RUF009
    client_error_effect: DesignEffect = DesignEffect()  # noqa: RUF009
    late_until: float = -inf
    """Until when a report that came late is a reason to wait."""
    late_outage: PairedCounts | None = None
    """What a late report said of an outage of the canary."""
    arrivals: Arrivals = Arrivals()  # noqa: RUF009
    broken: int = 0
    """Responses of the canary that ended badly after their headers, since the rollout's start. People are told:
    elsewhere such a response looks like a good one."""
    recent: dict[str, RecentCounts] = field(default_factory=dict)
    """By group of channels: the counts that are shown to people."""

    @classmethod
    def start(cls, policy: Policy) -> "JudgeState":
        """Before the first window. The error budget is shared out here, once."""
        plan = plan_of(policy)
        harm = {name: Wealth.of(weight, len(ALTERNATIVES_OF[name])) for name, weight in plan.weights.items()}
        tests = {metric: NonInferiorityTest.of(len(plan.ladder)) for metric in plan.gates}
        times = dict.fromkeys((LATENCY, TTFT) if TTFT in plan.weights else (LATENCY,), Timing())
        return cls(harm=harm, non_inferiority=tests, times=times)

    @property
    def total(self) -> float:
        """The evidence of harm: an e-value over all channels, from the rollout's start."""
        return sum([unplaced + sum(bets) for unplaced, bets in self.harm.values()])

    def copy(self) -> "JudgeState":
        """An independent one: the parts are immutable, the dictionaries are copied."""
        twin = JudgeState(*_VALUES(self))
        twin.harm, twin.non_inferiority = self.harm.copy(), self.non_inferiority.copy()
        twin.recent, twin.times, twin.settling = self.recent.copy(), self.times.copy(), self.settling.copy()
        return twin

    def is_due(self, at: float) -> bool:
        """Whether a report at `at`, on the windows' clock, may lead to a bet on errors. Until then
        reports only add up, and several can be judged as one window.

        The rule uses the clock and sizes alone, never outcomes. Every report is due before the canary's
        first request, after a restart, and as long as a block waits for requests.
        """
        if self.window_clock is None or self.first_canary_request is None or self.last_report is None:
            return True
        time = self.time + at - self.window_clock
        return time - self.error_block.since >= ERROR_PACE - MOMENT

    def turns_over(self, most: float = TURNOVER_MOST) -> bool:
        """Whether responses may still be of requests of the weight before: until stable's slow
        requests have ended, `most` seconds at the longest."""
        since = self.time - self.weight_changed_at
        if since >= most:
            return False
        thresholds = self.times[LATENCY].thresholds
        if thresholds is None:
            return since < TURNOVER_UNKNOWN
        return since < TURNOVER_TAILS * thresholds.stable[TAIL] / 1000

    def leading_channel(self, plan: Plan, waiting: Sequence[str] = ()) -> str:
        """The channel with the most evidence of harm beyond its stake, if possible none of `waiting`."""
        names = [name for name in self.harm if name not in waiting]
        return max(names, key=lambda name: self.harm[name].total - self.unplaced * plan.weights[name])


_VALUES = attrgetter(*[f.name for f in fields(JudgeState)])


class Judgement(NamedTuple):
    """One tick in the making: the policy and its plan, the step whose gate is asked for, and the
    judge's own copy of the state, which it changes."""

    policy: Policy
    plan: Plan
    step: int
    state: JudgeState
