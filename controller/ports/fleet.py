"""What is known of the proxies."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from controller.core.control.judged import Judged
from controller.core.control.sync import Sync
from controller.ports.report_admission import StrangerStatus


class ConfigState(StrEnum):
    """How far a proxy is with its resources of one type, from good to bad. The names are CSDS's."""

    SYNCED = "SYNCED"
    """It has ACKed what it should have."""
    NOT_SENT = "NOT_SENT"
    """There is nothing to send, or nothing was sent yet."""
    STALE = "STALE"
    """It has not ACKed the newest yet."""
    ERROR = "ERROR"
    """It has NACKed what it should have."""

    @property
    def badness(self) -> int:
        """Its rank: a proxy is in the worst state of its types."""
        return list(ConfigState).index(self)


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One resource type at one proxy: versions and the time of the last change (Unix seconds)."""

    type_url: str
    state: ConfigState
    wanted: str
    acknowledged: str
    since: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """A NACK: of which type, when (Unix seconds), in the proxy's own words."""

    type_url: str
    at: float
    error: str


@dataclass(frozen=True, slots=True)
class RolloutWait:
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
    state: ConfigState
    """The worst of its types."""
    waits: tuple[RolloutWait, ...] = ()
    """The rollouts that wait for it."""
    last_nack: Nack | None = None
    """Its last NACK, also if it has ACKed something better since."""
    is_blind: bool = False
    """Whether it cannot count how responses end: broken ones count as good."""
    excluded: str = ""
    """Why an operator excluded it; empty if it is not excluded."""
    requests: int = 0
    """Requests that it has reported since it connected, as far as its reports count."""
    failed: int = 0
    """How many of them failed by the server's fault."""
    controller: str = ""
    """The name of the controller that it is connected to; empty if there is one alone."""
    cut_off: bool = False
    """Whether that controller is cut off from the one that decides, so that this is what was known before."""


class ReportsPaced(NamedTuple):
    """What a controller asks for that cannot take in all reports as fast as is wanted."""

    interval: float
    """Seconds between two load reports of a proxy with a canary."""
    flushes: int
    """Of how many flushes of metrics of a proxy one is read."""


class UnseenController(NamedTuple):
    """A controller whose proxies are not known now, or only as they were known last: how many they are, and why."""

    controller: str
    proxies: int
    reason: str


class UnreachedController(NamedTuple):
    """A controller that could not be asked, where its admin port is, and why."""

    controller: str
    admin: str
    reason: str


class Retried(NamedTuple):
    """The nodes that had NACKed something and were sent it again, and the controllers that could not be asked to."""

    nodes: tuple[str, ...] = ()
    unreached: tuple[UnreachedController, ...] = ()


class Fleet(Protocol):
    """What is known of the proxies. No method raises; all but the coroutines answer at once, from memory."""

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand, each with the reason; the others are served."""
        ...

    @property
    def paced(self) -> ReportsPaced | None:
        """While this controller cannot take in all reports as fast as is wanted: what it asks for; else None."""
        ...

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy."""
        ...

    def strangers(self) -> tuple[StrangerStatus, ...]:
        """The programs that report, and are no proxies: their reports do not count."""
        ...

    @property
    def judged(self) -> Judged | None:
        """Which controller knows all proxies, and as of when `proxies` is; None where a controller is alone."""
        ...

    async def refresh(self) -> None:
        """Bring `proxies` up to date where another controller knows them: some seconds at most."""
        ...

    def unseen(self) -> tuple[UnseenController, ...]:
        """The controllers whose proxies are not known now."""
        ...

    def retry(self, service: str) -> tuple[str, ...]:
        """Send the proxies of this controller once more what they NACKed of that service, or of every service if it is
        empty. Returns the nodes that had NACKed any of it."""
        ...

    async def retry_everywhere(self, service: str, who: str) -> Retried:
        """The same at all controllers, on behalf of `who`: some seconds at most."""
        ...

    def sync(self, service: str, revision: int) -> Sync:
        """How many connected proxies of the service's fleets have ACKed its routes as of that revision."""
        ...
