"""How many of the connected proxies serve what was decided."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sync:
    """How many of the connected proxies serve what was decided, and which have NACKed it or not ACKed it yet."""

    synced: int = 0
    total: int = 0
    nacked: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every connected proxy serves it."""
        return self.synced >= self.total

    def enough(self, share: float) -> bool:
        """Whether the fleet is in sync enough to advance: at least one proxy, that share of them, no NACK."""
        return self.total > 0 and not self.nacked and self.synced >= share * self.total
