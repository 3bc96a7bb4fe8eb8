"""Proxies that a test describes."""

from dataclasses import dataclass, field

from controller.core.control.judged import Judged
from controller.core.control.sync import Sync
from controller.ports.fleet import ProxyStatus, ReportsPaced, Retried, UnreachedController, UnseenController
from controller.ports.report_admission import StrangerStatus


@dataclass
class FakeFleet:
    """Connected proxies and how far they are in sync."""

    statuses: tuple[ProxyStatus, ...] = ()
    synced: Sync = field(default_factory=Sync)
    """For every service but `broken`."""
    broken: str = ""
    """The service whose sync cannot be determined."""
    reporting: tuple[StrangerStatus, ...] = ()
    """The strangers."""
    fault: Exception | None = None
    """Raised instead of listing the proxies."""
    problems: dict[str, str] = field(default_factory=dict)
    retried: list[str] = field(default_factory=list)
    """The services that `retry` was called for."""
    refreshed: int = 0
    """How often `refresh` was called."""
    unseen_controllers: tuple[UnseenController, ...] = ()
    unreached: tuple[UnreachedController, ...] = ()
    """The controllers that a retry does not reach."""

    paced: ReportsPaced | None = None

    def strangers(self) -> tuple[StrangerStatus, ...]:
        return self.reporting

    @property
    def judged(self) -> Judged | None:
        return None

    async def refresh(self) -> None:
        self.refreshed += 1

    def unseen(self) -> tuple[UnseenController, ...]:
        return self.unseen_controllers

    async def retry_everywhere(self, service: str, who: str) -> Retried:
        return Retried(self.retry(service), self.unreached)

    def retry(self, service: str) -> tuple[str, ...]:
        self.retried.append(service)
        return tuple(proxy.node for proxy in self.proxies() if proxy.last_nack)

    def proxies(self) -> tuple[ProxyStatus, ...]:
        if self.fault:
            raise self.fault
        return self.statuses

    def sync(self, service: str, revision: int) -> Sync:
        if service == self.broken:
            raise RuntimeError("a fault in one service's tick")
        return self.synced
