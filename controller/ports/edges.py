"""What one controller tells the one that decides of its proxies, besides what they report: all of it is as it is now,
so the newest counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.core.control.sync import Sync
from controller.ports.fleet import ProxyStatus

Node = tuple[str, str]
"""A proxy's node id and its fleet."""


class ServiceSync(NamedTuple):
    """How far the proxies of one controller are with a service, as it stood at that revision."""

    revision: int
    sync: Sync

    def at(self, revision: int) -> Sync:
        """How far they are with it at that revision: if that is a later one, nothing is known of who serves it."""
        return self.sync if self.revision >= revision else self.sync.outdated()


@dataclass(frozen=True, slots=True)
class EdgeUpdate:
    """What has changed at one controller."""

    proxies: tuple[ProxyStatus, ...] = ()
    """The proxies that came or changed."""
    gone: tuple[Node, ...] = ()
    syncs: Mapping[str, ServiceSync] = field(default_factory=dict)
    """By service, those that have changed."""
    complete: bool = False
    """Whether what it does not name is not there: the first update of a stream is so."""
