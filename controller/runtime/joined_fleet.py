"""The proxies as operators see them: at the controller that decides all of them, at another one its own."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from controller.core.control.sync import CutOff, Sync
from controller.ports.fleet import Fleet, ProxyStatus
from controller.ports.report_admission import StrangerStatus
from controller.runtime.fleet_reports import FleetReports
from controller.runtime.membership import Membership


class JoinedFleet:
    """Implements `ports.Fleet` of several controllers that share a store."""

    def __init__(self, own: Fleet, membership: Membership) -> None:
        """`own` are the proxies that are connected to this controller."""
        self._own = own
        self._membership = membership
        self._all: FleetReports | None = None

    @property
    def decides(self) -> bool:
        """Whether this controller decides, so that it knows the proxies of all."""
        return self._all is not None

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand: the same everywhere."""
        return self._own.problems

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy that is known here."""
        if self._all:
            return self._all.proxies()
        return tuple(replace(each, controller=self._membership.name) for each in self._own.proxies())

    def strangers(self) -> tuple[StrangerStatus, ...]:
        """The programs that report to this controller, and are no proxies."""
        return self._own.strangers()

    def retry(self, service: str) -> tuple[str, ...]:
        """Send this controller's proxies once more what they NACKed."""
        return self._own.retry(service)

    def sync(self, service: str, revision: int) -> Sync:
        """How many of the proxies that are known here have ACKed the service's routes as of that revision."""
        return self._all.sync(service, revision) if self._all else self._own.sync(service, revision)

    def cut_off(self) -> tuple[CutOff, ...]:
        """The controllers with proxies that are not heard of; none where this one does not decide."""
        return self._all.cut_off() if self._all else ()

    @contextlib.contextmanager
    def deciding(self, reports: FleetReports) -> Iterator[None]:
        """This controller decides until the end of the block, with the reports of all."""
        self._all = reports
        try:
            yield
        finally:
            self._all = None
