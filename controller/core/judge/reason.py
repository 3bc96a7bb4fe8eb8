"""Why a verdict is what it is: a code, the numbers, and what is known beside them, from which the
sentence is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple, Protocol

from controller.core.judge.paired_counts import PairedCounts


class ReasonCode(StrEnum):
    """What a reason is about: a channel of evidence, or a condition. The ledger and the API use
    these words."""

    SERVER_ERRORS = "5xx"
    CLIENT_ERRORS = "4xx"
    OVERDUE = "overdue"
    """Requests that are not answered."""
    ERRORS_MAX = "errors_max"
    """The policy's absolute limit of errors."""
    LATENCY = "latency"
    """The whole distribution of latency."""
    LATENCY_P50 = "latency_p50"
    LATENCY_P75 = "latency_p75"
    LATENCY_P90 = "latency_p90"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    LATENCY_P995 = "latency_p995"
    """The p99.5."""
    LATENCY_P999 = "latency_p999"
    """The p99.9."""
    TTFT = "ttft"
    """The whole distribution of the time to the first token."""
    TTFT_P50 = "ttft_p50"
    TTFT_P75 = "ttft_p75"
    TTFT_P90 = "ttft_p90"
    TTFT_P95 = "ttft_p95"
    TTFT_P99 = "ttft_p99"
    TTFT_P995 = "ttft_p995"
    TTFT_P999 = "ttft_p999"
    LATENCY_MAX = "latency_max"
    """The policy's absolute limit of p99, on a canary."""
    LATENCY_P99_MAX = "latency_p99_max"
    """The same on stable while no rollout runs."""
    CUSTOM = "custom"
    """A custom metric."""
    METRIC_UNKNOWN = "metric_unknown"
    """A custom metric that cannot be read."""
    HOOK = "hook"
    """A hook that asks for a rollback."""
    NO_HARM = "no_harm"
    INSUFFICIENT = "insufficient"
    """Not enough evidence of no harm."""
    WARMING = "warming"
    SETTLING = "settling"
    """The canary has been worse ever since its traffic began or rose, and is waited for."""
    BLIND = "blind"
    """No reports."""
    NO_TRAFFIC = "no_traffic"
    NO_ARRIVALS = "no_arrivals"
    """No request reaches the canary although its weight says that some must."""
    SHARE = "share"
    """The canary's actual share differs from its weight."""
    INCIDENT = "incident"
    """Stable has an incident of its own."""
    COMMON_MODE = "common_mode"
    """Stable breaks the absolute limit of errors too."""
    LATE_REPORT = "late_report"
    """A version was not reported for a while."""
    LATE_OUTAGE = "late_outage"
    """Likewise, and what the report then said of the canary was an outage."""
    BROKEN_UNSEEN = "broken_unseen"
    """Some proxies cannot report broken responses. Said beside the other reasons; it decides nothing."""
    PROXY_DIFFERS = "proxy_differs"
    """Some proxies report far more or fewer failures than all others. Likewise."""
    CUT_OFF = "cut_off"
    """Some proxies are connected to a controller that is cut off from the one that decides. Likewise."""
    ENDPOINTS_OUT = "endpoints_out"
    """Some endpoints of a version get no requests. Likewise."""
    IN_GRACE = "spell"
    """Written until 0.1 in a bake without a control; read from old recordings alone."""
    HEALTHY = "healthy"
    """Stable is as usual."""


class Description(Protocol):
    """The numbers of a reason that make its sentence."""

    def describe(self) -> str:
        """The sentence, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict, for programs. `text` is the same for people.

    Rates are shares in 0..1; `evidence` and `limit` are e-values (the null is rejected when
    evidence >= limit). `description` is what the sentence is made of, or the sentence itself where
    it comes from elsewhere: from a hook, or from storage.
    """

    code: ReasonCode
    description: Description | str
    canary: float | None = None
    stable: float | None = None
    canary_n: int = 0
    stable_n: int = 0
    evidence: float | None = None
    limit: float | None = None
    needed: int | None = None
    """Canary requests still needed to decide, where that can be estimated."""
    channel: str = ""
    """The channel that it is about, where that is one: an `insufficient` reason names it here
    too."""
    margin: float | None = None
    """Set where the evidence is for the canary: of its rate being less than stable's plus this
    share."""
    bound: float | None = None
    """What is known of the canary with the policy's confidence: its rate is at most stable's plus
    this share."""

    @property
    def text(self) -> str:
        """The sentence."""
        return self.description if isinstance(self.description, str) else self.description.describe()

    def plain(self) -> dict[str, str | int | float]:
        """As JSON values. What is unknown is left out, and so is what JSON cannot express."""
        values: dict[str, str | int | float | None] = {
            "code": self.code,
            "text": self.text,
            "canary": self.canary,
            "stable": self.stable,
            "canary_n": self.canary_n,
            "stable_n": self.stable_n,
            "evidence": self.evidence,
            "limit": self.limit,
            "needed": self.needed,
            "channel": self.channel,
            "margin": self.margin,
            "bound": self.bound,
        }
        known = {name: value for name, value in values.items() if value is not None}
        return {name: value for name, value in known.items() if not isinstance(value, float) or isfinite(value)}

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> "Reason":
        """What `plain` gave. ValueError, KeyError or TypeError for anything else."""
        return cls(ReasonCode(stored["code"]), stored["text"], **{k: v for k, v in stored.items() if k not in _FIRST})

    @classmethod
    def on_counts(cls, code: ReasonCode, description: Description, counts: PairedCounts, **numbers: Any) -> "Reason":
        """A reason that rests on such counts; `numbers` are the other fields."""
        return cls(
            code,
            description,
            canary=counts.canary_rate,
            stable=counts.stable_rate,
            canary_n=int(counts.canary_n),
            stable_n=int(counts.stable_n),
            **numbers,
        )


_FIRST = ("code", "text")


class Finding(NamedTuple):
    """A reason whose numbers are not worked out yet: ticks are many, and few of their reasons are
    read."""

    code: ReasonCode
    work_out: Callable[[], Reason]
