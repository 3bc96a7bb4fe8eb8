"""Proxies whose figures on a canary differ strongly from those of all others: what a verdict says of them."""

from dataclasses import dataclass, replace

from controller.core.control.describe import count_proxies, name_some
from controller.core.control.sync import Sync
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ProxyDiffersDescription:
    """Which of the connected proxies report another share of failures than all others."""

    sync: Sync

    def describe(self) -> str:
        """How many, and their names."""
        odd = count_proxies(self.sync, len(self.sync.differing), "reports", "report")
        return f"{odd} far more or fewer failures of the canary than the others ({name_some(self.sync.differing)})"


def with_odd_proxies(verdict: Verdict, sync: Sync) -> Verdict:
    """The verdict, with a reason more while some proxies report what no other does.

    It comes last and changes nothing: it may be the place, the proxy, or a lie. An operator can exclude the proxy.
    """
    if not sync.differing:
        return verdict
    return replace(
        verdict, findings=(*verdict.findings, Reason(ReasonCode.PROXY_DIFFERS, ProxyDiffersDescription(sync)))
    )
