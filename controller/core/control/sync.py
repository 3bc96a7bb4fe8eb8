"""How many of the connected proxies serve what was decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class CutOff(NamedTuple):
    """A controller that is cut off from the one that decides, and how many proxies are connected to it, as far as is
    known: what they report does not arrive, and whether they serve what was decided is not known."""

    controller: str
    proxies: int
    seconds: float
    """Since when, or since the beginning of the term if that is later."""


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
    cut_off: tuple[CutOff, ...] = ()
    """The controllers whose proxies are not known; the others' numbers are without them, but for `total`."""

    @property
    def complete(self) -> bool:
        """Whether every connected proxy serves it."""
        return self.synced >= self.total

    @property
    def settled(self) -> bool:
        """Whether nothing is expected of the proxies: there are some, and every one serves it."""
        return self.total > 0 and self.complete and not self.nacked

    def enough(self, share: float) -> bool:
        """Whether the fleet is in sync enough to advance: at least one proxy, that share of them, no NACK, and every
        controller's proxies known."""
        return self.total > 0 and not self.nacked and not self.cut_off and self.synced >= share * self.total

    def outdated(self) -> "Sync":
        """The same of an earlier decision: nothing is known of who serves the newest one."""
        return Sync(0, self.total, self.nacked, blind=self.blind, differing=self.differing)

    def with_cut_off(self, controllers: Iterable[CutOff]) -> "Sync":
        """With the proxies of controllers that are cut off."""
        cut_off = tuple(controllers)
        total = self.total + sum(each.proxies for each in cut_off)
        return replace(self, total=total, cut_off=cut_off) if cut_off else self


def joined(syncs: Iterable[Sync]) -> Sync:
    """How far the proxies of several fleets, or of several controllers, are."""
    every = list(syncs)
    if len(every) == 1:
        return every[0]
    return Sync(
        sum(each.synced for each in every),
        sum(each.total for each in every),
        nacked=tuple(sorted({node for each in every for node in each.nacked})),
        behind=tuple(sorted({node for each in every for node in each.behind})),
        splits={node: split for each in every for node, split in each.splits.items()},
        blind=tuple(sorted({node for each in every for node in each.blind})),
        differing=tuple(sorted({node for each in every for node in each.differing})),
        cut_off=tuple(one for each in every for one in each.cut_off),
    )
