"""What is known of the proxies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.core.control.sync import Sync


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One resource type at one proxy. `state` is SYNCED, STALE, NOT_SENT or ERROR; times are Unix seconds."""

    type_url: str
    state: str
    wanted: str
    acknowledged: str
    since: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a proxy refused: of which type, when (Unix seconds), in its own words."""

    type_url: str
    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A service whose rollout waits for a proxy: what for, and since when (Unix seconds)."""

    service: str
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One connected proxy (or proxyless client): who it is and how far it is, per type."""

    node: str
    fleet: str
    client: str
    connected_at: float
    types: tuple[TypeStatus, ...]
    state: str
    """The worst of its types: SYNCED, STALE (unconfirmed), NOT_SENT or ERROR (refused)."""
    waits: tuple[Wait, ...] = ()
    """The rollouts that wait for it."""
    refused: Refused | None = None
    """What it refused last, also if it has something better since."""


class Fleet(Protocol):
    """What is known of the proxies."""

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand, each with the reason; the others are served."""
        ...

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy."""
        ...

    def sync(self, service: str, revision: int) -> Sync:
        """How many connected proxies of the service's fleets have acknowledged its routes as of that revision."""
        ...
