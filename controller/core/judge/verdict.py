"""What the judge says: a verdict and its reasons."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from math import isfinite


class Outcome(StrEnum):
    """PASS: shown to be no worse, for this step. HARM: shown to be worse. UNKNOWN: neither, and the reasons say why."""

    PASS = "pass"  # noqa: S105
    HARM = "harm"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground of a verdict, for people (`text`) and for programs (the rest).

    `code` is a stable word: a channel (`5xx`, `4xx`, `overdue`, `latency_p99`, `errors_max`, ...) or a condition
    (`warming`, `no_traffic`, `no_arrivals`, `blind`, `incident`, `insufficient`). Rates are shares in 0..1;
    `evidence` and `limit` are e-values (the null is rejected when evidence >= limit).
    """

    code: str
    text: str
    canary: float | None = None
    stable: float | None = None
    canary_n: int = 0
    stable_n: int = 0
    evidence: float | None = None
    limit: float | None = None
    needed: int | None = None
    """Canary requests still needed to decide, where that can be told."""
    channel: str = ""
    """What it is about, where that is one channel: also an `insufficient` names it here."""
    margin: float | None = None
    """Set where the evidence is for the canary: of its rate being less than stable's plus this share."""

    def plain(self) -> dict[str, str | int | float]:
        """As JSON values; what is not known is left out, and so is what JSON cannot say."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value for name, value in known.items() if not isinstance(value, float) or isfinite(value)}


Ground = Reason | Callable[[], Reason]
"""A reason, or how to put it into words: looks are many, and few of them are read."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """The judge's word on one tick. `warm` is true once the warm-up is over; `blind` while no report arrives; `idle`
    while nobody asks for anything, so that time shows nothing."""

    outcome: Outcome
    grounds: tuple[Ground, ...]
    warm: bool = True
    blind: bool = False
    idle: bool = False
    in_grace: bool = False
    """In the bake: the canary is worse than stable was, within the grace period that is tolerated."""

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """The grounds in words, the first one first."""
        return tuple([ground if isinstance(ground, Reason) else ground() for ground in self.grounds])

    def __eq__(self, other: object) -> bool:
        """Two verdicts are the same if they say the same."""
        return isinstance(other, Verdict) and self._said() == other._said()

    __hash__ = None  # type: ignore[assignment]

    def _said(self) -> tuple[object, ...]:
        return self.outcome, self.reasons, self.warm, self.blind, self.idle, self.in_grace

    @property
    def cause(self) -> str:
        """The code of the reason that decided, for counters and for 'once per cause'."""
        return self.reasons[0].code if self.reasons else self.outcome.value
