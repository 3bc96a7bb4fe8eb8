"""Proxies whose controller is cut off from the one that decides: what a verdict says of them."""

from dataclasses import dataclass, replace

from controller.core.control.describe import describe_cut_off
from controller.core.control.sync import Sync
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CutOffDescription:
    """Which controllers are cut off."""

    sync: Sync

    def describe(self) -> str:
        """Their names, and how many proxies are connected to them."""
        return describe_cut_off(self.sync)


def with_cut_off_proxies(verdict: Verdict, sync: Sync) -> Verdict:
    """The verdict, with a reason more while some proxies are connected to a controller that is cut off.

    It comes last and changes nothing: what was proved is of the others alone, which is enough for harm. That no step is
    taken is the decision's.
    """
    if not sync.cut_off:
        return verdict
    unseen = Reason(ReasonCode.CUT_OFF, CutOffDescription(sync))
    return replace(verdict, findings=(*verdict.findings, unseen))
