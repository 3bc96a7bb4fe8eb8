"""What is served to operators: the admin API, the web site with console and metrics, and what both carry out."""

import functools
from collections.abc import Callable, Mapping

import grpc
from aiohttp import web
from prometheus_client import CollectorRegistry

from controller.admin.grpc_api import add_admin
from controller.admin.http_api import Probes, make_http
from controller.admin.http_guard import caller_of_request
from controller.admin.service_reader import ServiceReader
from controller.admin.watch_streams import Watches
from controller.assembly.authentication import Authentication
from controller.assembly.base import Base
from controller.assembly.peers import Peers
from controller.assembly.proxy_services import ProxyServices
from controller.assembly.workers import Workers
from controller.console.pages import console_routes
from controller.monitoring.certificate_expiry import CertificateExpiry
from controller.monitoring.controllers import ControllersState
from controller.monitoring.current_state import CurrentState
from controller.monitoring.exposition import Exposition
from controller.ports.observatory import Observatory
from controller.ports.recordings import Recordings
from controller.process.right_of_way import RightOfWay
from controller.process.web_route import Route
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.workers.workers_state import WorkersState


def make_operations(base: Base, observatory: Observatory, right_of_way: RightOfWay) -> Operations:
    """What operators and service files can do to the store, within what the settings allow."""
    settings = base.settings
    allowed = Allowed(
        hooks=settings.hooks,
        metrics=settings.metrics,
        rates=[name for name, metric in settings.metrics.items() if metric.kind == "rate"],
        own=base.own_addresses,
        kubernetes=base.kubernetes is not None,
        max_services=settings.max_services,
        max_freezes=settings.max_freezes,
    )
    return Operations(
        base.store,
        base.clock,
        allowed,
        on_outcome=base.metrics.count_command,
        observatory=observatory,
        right_of_way=right_of_way,
    )


class OperatorApis:
    """Makes what the admin port and the HTTP port serve."""

    def __init__(
        self,
        base: Base,
        proxies: ProxyServices,
        peers: Peers,
        workers: Workers | None,
        *,
        authentication: Authentication,
        operations: Operations,
    ) -> None:
        self._base = base
        self._proxies = proxies
        self._peers = peers
        self._workers = workers
        self._authentication = authentication
        self._operations = operations

    def add_admin(self, server: grpc.aio.Server, recordings: Recordings) -> Watches:
        """Add what the admin port serves. Returns the watches, which end with the server."""
        server.add_generic_rpc_handlers(self._proxies.xds.csds_handlers())
        server.add_generic_rpc_handlers(self._peers.handlers(recordings))
        return add_admin(
            server,
            self._operations,
            self._peers.observatory,
            self._peers.fleet,
            self._peers.recordings(recordings),
            self._peers.membership,
            login=self._authentication.login_config(),
        )

    def site(self, why_unready: Callable[[], str | None]) -> web.Application:
        """The web site; `why_unready` returns why this controller should not be relied on now, None if it can."""
        reader = ServiceReader(self._operations, self._peers.observatory, self._peers.fleet)
        probes = Probes(
            why_unready,
            self._metrics,
            reader,
            self._peers.membership.role,
            self._notes,
        )
        doorkeeper = self._authentication.doorkeeper("http")
        return make_http(self._operations, reader, doorkeeper, probes, pages=self._pages(why_unready))

    async def _metrics(self) -> CollectorRegistry:
        own = self._exposition.read()
        return await self._workers.joined(own) if self._workers else own

    def _notes(self) -> Mapping[str, Mapping[str, str]]:
        """What is to be known of a controller that is ready."""
        away = self._workers.away() if self._workers else {}
        return {"certificates": self._authentication.certificates.described(), "workers": away}

    @functools.cached_property
    def _exposition(self) -> Exposition:
        base = self._base
        return Exposition(
            base.metrics.registry,
            CurrentState(base.replica, self._proxies.xds, base.book, base.metrics, base.store.health),
            CertificateExpiry(self._authentication.expiries),
            ControllersState(self._peers.membership),
            *self._peers.states(),
            *([WorkersState(self._workers)] if self._workers else []),
        )

    def _pages(self, why_unready: Callable[[], str | None]) -> list[Route]:
        """The console, and the login if an issuer has a client for it."""
        console = console_routes(
            self._operations,
            self._peers.observatory,
            self._peers.fleet,
            ready=why_unready,
            caller_of=caller_of_request,
            membership=self._peers.membership,
            login_path=self._authentication.login_path,
        )
        return [*console, *self._authentication.login_routes()]
