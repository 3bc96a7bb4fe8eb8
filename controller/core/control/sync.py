"""How many of the connected proxies serve what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sync:
    """How many of the connected proxies serve what was decided, which have NACKed it or not ACKed it yet, and which
    cannot report all that is judged."""

    synced: int = 0
    total: int = 0
    nacked: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    """By proxy that is behind: a name of the split that it has ACKed, the same for all that serve the same one."""
    blind: tuple[str, ...] = ()
    """Those that cannot report broken responses: they count as good."""
    differing: tuple[str, ...] = ()
    """Those whose requests to the canary fail unlike those of all others."""

    @property
    def complete(self) -> bool:
        """Whether every connected proxy serves it."""
        return self.synced >= self.total

    @property
    def settled(self) -> bool:
        """Whether nothing is expected of the proxies: there are some, and every one serves it."""
        return self.total > 0 and self.complete and not self.nacked

    def enough(self, share: float) -> bool:
        """Whether the fleet is in sync enough to advance: at least one proxy, that share of them, no NACK."""
        return self.total > 0 and not self.nacked and self.synced >= share * self.total
