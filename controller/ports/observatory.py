"""What is known of the services now, beside what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.judge.verdict import Verdict
from controller.core.model.view import View
from controller.core.traffic.reports import Traffic


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of a service beside what is stored: the newest verdict, what is made of it, the traffic."""

    verdict: Verdict | None = None
    decision: str = ""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By version."""
    updated_at: float = 0.0
    stable: Verdict | None = None
    """The watch's word on stable, from when no rollout was running last."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """By channel of harm, at the last look at a rollout."""

    @property
    def told(self) -> tuple[str, ...]:
        """What the judge sees and what automation makes of it, in words, each said once."""
        reasons = tuple(reason.text for reason in self.verdict.reasons) if self.verdict else ()
        known = ("", *reasons, "; ".join(reasons))
        return reasons if self.decision in known else (*reasons, self.decision)


class Observatory(Protocol):
    """What can be looked at now. The loop is one."""

    def view(self) -> View:
        """The newest view."""
        ...

    def live(self, service: str) -> Live:
        """The newest look at a service."""
        ...

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen` (0 at first); the number to wait with next time."""
        ...
