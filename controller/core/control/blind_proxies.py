"""Proxies that cannot report broken responses: what a verdict says of them."""

from dataclasses import dataclass, replace

from controller.core.control.describe import count_proxies, name_some
from controller.core.control.sync import Sync
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Verdict


@dataclass(frozen=True, slots=True)
class BrokenUnseenDescription:
    """Which of the connected proxies cannot report broken responses."""

    sync: Sync

    def describe(self) -> str:
        """How many, and their names."""
        blind = count_proxies(self.sync, len(self.sync.blind), "cannot", "cannot")
        return f"{blind} report broken responses ({name_some(self.sync.blind)}): there they count as good"


def with_blind_proxies(verdict: Verdict, sync: Sync) -> Verdict:
    """The verdict, with a reason more while some proxies cannot report broken responses.

    It comes last and changes nothing: neither the outcome nor what the verdict rests on.
    """
    if not sync.blind:
        return verdict
    unseen = Reason(ReasonCode.BROKEN_UNSEEN, BrokenUnseenDescription(sync))
    return replace(verdict, findings=(*verdict.findings, unseen))
