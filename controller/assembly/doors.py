"""The doors of a controller: the xDS port for proxies, the admin port and the web site for operators.

Each opens at its address of the settings, with TLS and bounds, and closes at the end of a block. What is served behind
a door is the caller's affair.
"""

import contextlib
import grp
import math
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog
from aiohttp import web

from controller.admin import OPTIONS as ADMIN_OPTIONS
from controller.admin.doorkeeper import Doorkeeper
from controller.admin.grpc_api import PERMISSIONS, SERVICE_NAMES
from controller.admin.guard import Guard
from controller.admin.watch_streams import Watches
from controller.core.access.proxy_gate import ProxyGate
from controller.identity.tls_files import TlsFiles
from controller.process.descriptors import DescriptorShares
from controller.process.door_connections import DoorConnections
from controller.process.front import Front, unix_socket
from controller.process.servers import COMMON_OPTIONS, Unstartable, server_open, site_open
from controller.process.state_paths import NO_SOCKET
from controller.settings import Settings
from controller.xds.server import make_grpc_server

MOST_REPORTED = ("grpc.max_receive_message_length", 16 * 1024 * 1024)
"""Bytes of a message on the xDS port: one flush of an Envoy's unfiltered metrics is about 10 KB a service. Requests
for configuration have a limit of their own, far below."""
AGE_GRACE_MS = 10_000
"""Milliseconds that a connection at its end leaves its streams to move."""

log = structlog.get_logger()


class ProxyService(Protocol):
    """What is served on the xDS port."""

    def handlers(self, gate: ProxyGate) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """Its methods; `gate` says who may call them."""


class Doors:
    """Opens them. Each method raises `Unstartable` if its address cannot be listened at."""

    def __init__(self, settings: Settings, tls: TlsFiles | None, shares: DescriptorShares) -> None:
        self._settings = settings
        self._tls = tls
        self._shares = shares

    @contextlib.asynccontextmanager
    async def xds(self, services: Sequence[ProxyService]) -> AsyncIterator[None]:
        """The xDS port with those services."""
        settings = self._settings
        # Unlike people, proxies always have a certificate where there is TLS: gRPC itself asks for it.
        secured = self._tls is not None and self._tls.asks_for_certificates
        limits = settings.xds_limits
        limits = limits.model_copy(update={"connections": min(limits.connections, self._shares.xds)})
        shared = [("grpc.so_reuseport", 1)] if settings.workers > 1 else []
        server = make_grpc_server(limits, MOST_REPORTED, *shared, *self._age_options())
        gate = ProxyGate(settings.proxies, secured)
        for service in services:
            server.add_generic_rpc_handlers(service.handlers(gate))
        async with server_open(
            server,
            settings.xds_listen,
            "HALDANE_XDS_LISTEN",
            drain=settings.drain,
            credentials=self._tls.grpc_credentials() if self._tls and secured else None,
        ):
            yield

    @contextlib.asynccontextmanager
    async def admin(
        self, doorkeeper: Doorkeeper, add_services: Callable[[grpc.aio.Server], Watches]
    ) -> AsyncIterator[None]:
        """The admin port and its socket. `add_services` adds what is served, and returns the watches, which end with
        the door."""
        settings = self._settings
        context = self._tls.context("h2") if self._tls else None
        async with Front(DoorConnections(self._shares.admin, context)) as front:
            guard = Guard(doorkeeper, PERMISSIONS, lambda context: front.peer_of(context.peer()))
            options = [*ADMIN_OPTIONS, *COMMON_OPTIONS, *self._age_options()]
            server = grpc.aio.server(interceptors=[guard], options=options)
            watches = add_services(server)
            async with (
                server_open(server, front.inner, "the front", names=SERVICE_NAMES, drain=settings.drain),
                front.listening(settings.admin_listen, "HALDANE_ADMIN_LISTEN"),
                contextlib.AsyncExitStack() as stack,
            ):
                if listener := stack.enter_context(self._socket(settings.admin_socket)):
                    stack.enter_context(front.listening_at(listener))
                try:
                    yield
                finally:
                    watches.drain()

    @contextlib.asynccontextmanager
    async def http(self, site: web.Application) -> AsyncIterator[None]:
        """The web site, and its socket."""
        settings = self._settings
        context = self._tls.context("http/1.1") if self._tls else None
        age = settings.max_connection_age if context else math.inf
        with self._socket(settings.http_socket) as listener:
            async with site_open(
                site,
                settings.http_listen,
                "HALDANE_HTTP_LISTEN",
                DoorConnections(self._shares.http, context, age=age),
                drain=settings.drain,
                listener=listener,
            ):
                yield

    def _age_options(self) -> tuple[tuple[str, int], ...]:
        """With TLS a connection ends after a time, so that a revoked certificate does; gRPC adds the jitter."""
        if self._tls is None:
            return ()
        age = round(self._settings.max_connection_age * 1000)
        return ("grpc.max_connection_age_ms", age), ("grpc.max_connection_age_grace_ms", AGE_GRACE_MS)

    @contextlib.contextmanager
    def _socket(self, path: str) -> Iterator[socket.socket | None]:
        """The UNIX socket of a door, None if it has none. Raises `Unstartable`."""
        if path == NO_SOCKET:
            yield None
            return
        name = self._settings.socket_group
        try:
            group = grp.getgrnam(name).gr_gid if name else None
        except KeyError:
            raise Unstartable(f"socket_group: there is no group {name!r}") from None
        with contextlib.ExitStack() as stack:
            try:
                listener = stack.enter_context(unix_socket(Path(path), group))
            except Unstartable as error:
                if {"admin_socket", "http_socket"} & self._settings.model_fields_set:
                    raise
                log.warning("no_socket", reason=str(error))  # of another controller of the same store on this machine
                listener = None
            yield listener
