"""What the judge decides on one tick: a verdict and its reasons."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from controller.core.judge.channels import ALTERNATIVES_OF
from controller.core.judge.reason import Finding, Reason, ReasonCode

__all__ = ["Finding", "Outcome", "Reason", "ReasonCode", "Verdict"]


class Outcome(StrEnum):
    """PASS: shown to be no worse, for this step. HARM: shown to be worse. UNKNOWN: neither, and the
    reasons say why."""

    PASS = "pass"  # noqa: S105
    HARM = "harm"
    UNKNOWN = "unknown"


SUSPICIONS = frozenset({*ALTERNATIVES_OF, ReasonCode.LATE_REPORT, ReasonCode.SETTLING})
"""The codes of the findings that make a verdict suspicious: the channels of harm, late reports, and
a canary that may only be cold."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """The judge's verdict on one tick.

    `warm` is true once the warm-up is over, `blind` while no report arrives, `idle` while there is
    no traffic, so that time shows nothing.
    """

    outcome: Outcome
    findings: tuple[Reason | Finding, ...]
    warm: bool = True
    blind: bool = False
    idle: bool = False

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """The findings with their numbers, the one that decided first."""
        return tuple([found if isinstance(found, Reason) else found.work_out() for found in self.findings])

    @property
    def suspicious(self) -> bool:
        """Whether there is evidence of harm that falls short of the limit, or a report that came
        late: no time to end a bake."""
        return self.outcome is Outcome.UNKNOWN and any(found.code in SUSPICIONS for found in self.findings)

    def __eq__(self, other: object) -> bool:
        """Two verdicts are equal if their outcomes, conditions and reasons are."""
        return isinstance(other, Verdict) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def _values(self) -> tuple[object, ...]:
        return self.outcome, self.reasons, self.warm, self.blind, self.idle

    @property
    def cause(self) -> str:
        """The code of the reason that decided, for counters and for 'once per cause'."""
        return self.findings[0].code if self.findings else self.outcome.value
