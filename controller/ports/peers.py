"""The other controllers that share the store, as this one asks them on behalf of operators."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from controller.core.control.judged import Gap
from controller.core.control.sync import CutOff
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.ports.edges import ServiceSync
from controller.ports.fleet import ProxyStatus
from controller.ports.observatory import Live
from controller.ports.service_files import FilesStatus


class PeerLost(Exception):  # noqa: N818
    """A controller did not answer, and why: `gap` if it is the one that decides, `detail` in words."""

    def __init__(self, gap: Gap, detail: str) -> None:
        super().__init__(detail)
        self.gap = gap
        self.detail = detail


class Upstream(NamedTuple):
    """Whether a version is known to have no healthy endpoint, and whether some proxy has none of it: None while no
    proxy reports on the service."""

    none: bool
    lacking: bool | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the one that decides knows of a service besides what is stored."""

    live: Live
    """Without what each controller knows by itself: the sources of endpoints."""
    sync: ServiceSync
    rollout_id: str = ""
    """The rollout that `live` is about; empty if there is none."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """By version."""


class Judgements(NamedTuple):
    """What the one that decides knows."""

    services: Mapping[str, Judgement]
    """By service, of those that it knows at all."""
    files: FilesStatus = FilesStatus()


class FleetList(NamedTuple):
    """The proxies of all controllers, as the one that decides knows them, and the controllers that it does not hear
    of."""

    proxies: tuple[ProxyStatus, ...]
    cut_off: tuple[CutOff, ...] = ()


class Peers(Protocol):
    """Asks one controller. Every method raises `PeerLost`, at the latest some seconds after the last sign of life; then
    nothing is known of what the other one did."""

    async def judgements(self, member: Member, services: Collection[str]) -> Judgements:
        """What that controller, which decides, knows of these services."""
        ...

    async def proxies(self, member: Member) -> FleetList:
        """The proxies that it knows, while it decides."""
        ...

    async def recording(self, member: Member, rollout_id: str) -> Recording | None:
        """Its recording of a rollout, while it decides; None if there is none."""
        ...

    async def retry(self, member: Member, service: str, who: str) -> tuple[str, ...]:
        """Have it send its proxies once more what they NACKed of that service, or of every one if it is empty. Returns
        the nodes that had NACKed any of it."""
        ...
