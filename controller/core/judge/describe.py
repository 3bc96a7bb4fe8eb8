"""The judge's reasons in words: for each kind of reason its numbers, and the sentence that is made
of them.

The sentences are for a person who is woken at 3 a.m. Nothing else in the judge makes text.
"""

from dataclasses import dataclass
from typing import NamedTuple

from controller.core.base.units import counted, format_duration, format_weight, percentage_points
from controller.core.judge.channels import LATENCY, QUANTILES, TAILS_OF, TTFT
from controller.core.judge.paired_counts import PairedCounts

EVENTS = {
    "5xx": "server errors",
    "4xx": "client errors",
    "overdue": "unanswered requests",
    "errors_max": "server errors",
    "latency": "answers slower than stable's p50",
    "latency_max": "answers above the limit of p99",
    **{name: f"answers slower than stable's p{QUANTILES[i] * 100:g}" for name, (i, _) in TAILS_OF[LATENCY].items()},
    "ttft": "first tokens later than stable's p50",
    **{name: f"first tokens later than stable's p{QUANTILES[i] * 100:g}" for name, (i, _) in TAILS_OF[TTFT].items()},
}
"""What an event is, by channel."""


def share_text(events: float, n: float) -> str:
    """Events among requests: `7 of 251 (2.8 %)`."""
    if not n:
        return "none"
    percent = events / n * 100
    digits = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    return f"{events:.0f} of {n:.0f} ({digits} %)"


def both_text(counts: PairedCounts) -> str:
    """What both versions had: `canary 7 of 251 (2.8 %), stable 3 of 4769 (0.063 %)`."""
    canary = share_text(counts.canary_events, counts.canary_n)
    return f"canary {canary}, stable {share_text(counts.stable_events, counts.stable_n)}"


def bound_text(bound: float | None, limit: float) -> str:
    """What is known of the canary: ` (95 %: at most stable + 0.41 percentage points)`; empty where
    nothing is. `limit` is 1/beta."""
    if bound is None:
        return ""
    return f" ({(1 - 1 / limit) * 100:.3g} %: at most stable + {percentage_points(bound, 2)})"


def e_value_text(value: float) -> str:
    """An e-value, short."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"


class AllowedExcess(NamedTuple):
    """What a channel allows: `ratio` x stable + `margin`; a margin alone where the ratio is 0.

    The margin is a share; of `latency_max` it is milliseconds, of the other latency channels how
    much slower.
    """

    ratio: float
    margin: float


@dataclass(frozen=True, slots=True)
class ChannelDescription:
    """A channel of harm: the counts of the last `seconds`, and its evidence on its way to the
    limit."""

    channel: str
    counts: PairedCounts
    seconds: float
    allowed: AllowedExcess
    evidence: float
    limit: float
    broken: int = 0
    """The canary's responses since the rollout's start that look good elsewhere: they broke off after their headers."""

    def describe(self) -> str:
        """What both versions had, what is allowed, and the evidence."""
        return (
            f"{EVENTS[self.channel]}: {both_text(self.counts)} in the last {self.seconds:.0f} s{self._broken()}; "
            f"allowed {self._allowed()}; evidence {e_value_text(self.evidence)}, limit {e_value_text(self.limit)}"
        )

    def _broken(self) -> str:
        if not self.broken:
            return ""
        return f" ({counted(self.broken, 'response')} of the canary broke off after the headers)"

    def _allowed(self) -> str:
        ratio, margin = self.allowed
        match self.channel:
            case "5xx" | "4xx" if ratio:
                return f"{ratio:g} x stable + {percentage_points(margin)}"
            case "5xx" | "4xx":
                return f"{margin * 100:.2g} % (stable's past and a margin)"
            case "errors_max":
                return f"{margin * 100:g} %"
            case "overdue":
                return f"{percentage_points(margin)} more than stable"
            case "latency_max":
                return f"1 % above {margin:g} ms"
            case _:
                return f"{margin * 100:.0f} % {'later' if self.channel.startswith(TTFT) else 'slower'}"


@dataclass(frozen=True, slots=True)
class NotShownDescription:
    """A metric that has yet to be shown harmless: its margin, its evidence, and how many requests
    are still needed.

    `seconds` is the span of the counts; `weight` the canary's, in basis points, 0 in a shadow step.
    """

    metric: str
    margin: float
    bound: float | None
    counts: PairedCounts
    evidence: float
    limit: float
    needed: int | None
    weight: int
    seconds: float

    def describe(self) -> str:
        """What is not shown yet, and what that needs."""
        return (
            f"{EVENTS[self.metric]}: not yet shown to be less than {percentage_points(self.margin, 3)} above stable; "
            f"{both_text(self.counts)}{bound_text(self.bound, self.limit)}; evidence {e_value_text(self.evidence)}, "
            f"limit {self.limit:.3g}; {self._missing()}"
        )

    def _missing(self) -> str:
        if not self.counts.canary_n:
            return "the canary has not been seen yet"
        if self.needed is None:
            return "cannot be shown at stable's rate: a wider margin is needed"
        seconds = self.needed / (self.counts.canary_n / max(1.0, self.seconds))
        more = counted(self.needed, "more canary request")
        at = f" at {format_weight(self.weight)}" if self.weight else ", by copies"
        text = f"needs about {more}{at}, {_span_text(seconds)} at this rate"
        return f"{text}: raise the share or widen the margin" if seconds > 3600 else text


def _span_text(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.0f} h"


@dataclass(frozen=True, slots=True)
class ShownDescription:
    """A step's gate that is open: every metric has been shown to be no worse than its margin."""

    margin: float
    bound: float | None
    counts: PairedCounts
    evidence: float
    limit: float

    def describe(self) -> str:
        """The margin of server errors, what is known of them, and the least evidence of all metrics."""
        return (
            f"shown to be no worse than stable + {percentage_points(self.margin, 3)} of server errors: "
            f"{both_text(self.counts)}{bound_text(self.bound, self.limit)}; "
            f"evidence {e_value_text(self.evidence)}, limit {self.limit:.3g}"
        )


@dataclass(frozen=True, slots=True)
class NoHarmDescription:
    """A bake without harm: the evidence of harm is below its limit."""

    counts: PairedCounts
    evidence: float
    limit: float

    def describe(self) -> str:
        """What both versions had, and the promise of the limit."""
        return (
            f"no harm seen: {both_text(self.counts)} server errors; evidence of harm {e_value_text(self.evidence)}, "
            f"limit {self.limit:g} (a false alarm in {100 / self.limit:.3g} % of rollouts at most, if all else is as "
            "it was)"
        )


@dataclass(frozen=True, slots=True)
class WarmingDescription:
    """The warm-up: seconds left of it, None before the canary's first request; and its whole
    length."""

    left: float | None
    warmup: float

    def describe(self) -> str:
        """How much is left."""
        if self.left is None:
            return "the canary has had no request yet"
        return f"the canary is warming up: {self.left:.0f} s of {format_duration(self.warmup)} are left"


@dataclass(frozen=True, slots=True)
class SettlingDescription:
    """A metric by which the canary has been worse ever since its traffic began or rose: seconds for
    which it is still waited for, and the policy's whole patience."""

    metric: str
    counts: PairedCounts
    left: float
    patience: float

    def describe(self) -> str:
        """What both versions had, and how long it is waited for."""
        return (
            f"{EVENTS[self.metric]}: {both_text(self.counts)}, so ever since the canary got its traffic: it may only "
            f"be cold, and is judged in {self.left:.0f} s (patience {format_duration(self.patience)})"
        )


@dataclass(frozen=True, slots=True)
class BlindDescription:
    """No reports on a version (`the canary`, `stable` or `both versions`) for so many seconds."""

    version: str
    seconds: float

    def describe(self) -> str:
        """Which version, and for how long."""
        return f"no reports on {self.version} for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class NoTrafficDescription:
    """No requests at all for so many seconds."""

    seconds: float

    def describe(self) -> str:
        """For how long."""
        return f"no requests to either version for {self.seconds:.0f} s: nothing to judge by"


@dataclass(frozen=True, slots=True)
class NoArrivalsDescription:
    """The canary has had no request for so many seconds, in which stable had `missed`.

    `before`: whether it ever had one. `weight` is in basis points. `copies`: in a shadow step.
    """

    before: bool
    weight: int
    missed: int
    seconds: float
    copies: bool = False

    def describe(self) -> str:
        """What is lost, or a question to a person."""
        weight, silent = format_weight(self.weight), f"{self.seconds:.0f} s"
        if self.copies:
            return (
                f"no copy of a request has reached the canary for {silent}, while stable had {self.missed}: clients "
                "without a proxy send none"
            )
        if self.before:
            return (
                f"no request has reached the canary for {silent} at a weight of {weight}, while stable had "
                f"{self.missed}: what is sent to it is lost"
            )
        return (
            f"no request has ever reached the canary at a weight of {weight}, while stable had {self.missed} in "
            f"{silent}: is it routed to, or does sticky routing keep all users away?"
        )


@dataclass(frozen=True, slots=True)
class ShareDescription:
    """The canary's actual share (0..1) differs from its weight (basis points). `copies`: in a shadow step."""

    share: float
    weight: int
    copies: bool = False

    def describe(self) -> str:
        """Both."""
        of = "as many copies as" if self.copies else "the requests at"
        text = f"the canary gets {self.share * 100:.2g} % of {of} a weight of {format_weight(self.weight)}"
        return f"{text}: the comparison is in doubt"


@dataclass(frozen=True, slots=True)
class IncidentDescription:
    """Stable has an incident: errors of a kind (`server` or `client`), its present rate and its
    usual one."""

    kind: str
    rate: float
    usual: float

    def describe(self) -> str:
        """Both rates."""
        return (
            f"stable itself is in trouble: {self.kind} errors at about {self.rate * 100:.2g} %, usually "
            f"{self.usual * 100:.2g} %: weights stay until that is over"
        )


@dataclass(frozen=True, slots=True)
class LateReportDescription:
    """A version was not reported for a while."""

    def describe(self) -> str:
        """That it waits."""
        return "a report came late: nothing moves on until reports are regular again"


@dataclass(frozen=True, slots=True)
class LateOutageDescription:
    """What a report that came late said of the canary, and what stable had meanwhile."""

    counts: PairedCounts

    def describe(self) -> str:
        """Both."""
        return f"a report of the canary came late and shows an outage: {both_text(self.counts)} server errors"


@dataclass(frozen=True, slots=True)
class CommonModeDescription:
    """Stable breaks the policy's limit of errors too. Both are shares."""

    limit: float
    rate: float

    def describe(self) -> str:
        """Both rates."""
        text = f"stable itself is above the limit of {self.limit * 100:g} % server errors ({self.rate * 100:.2g} %)"
        return f"{text}: that is not the canary's doing"
