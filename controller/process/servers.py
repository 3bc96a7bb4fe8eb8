"""Opening and closing a port: a gRPC server or a web site on one address."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import grpc
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller.process.accept_loop import listening_sockets
from controller.process.counted_warning import CountedWarning
from controller.process.door_connections import DoorConnections


class Unstartable(Exception):  # noqa: N818
    """The controller cannot start, and why, in words for whoever started it."""


COMMON_OPTIONS = (("grpc.so_reuseport", 0),)
"""With port sharing, gRPC's default, a second controller would take half of the proxies unnoticed."""


@contextlib.asynccontextmanager
async def server_open(
    server: grpc.aio.Server,
    address: str,
    setting: str,
    *,
    names: tuple[str, ...] = (),
    drain: float,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[None]:
    """A gRPC server on that address, with health and reflection, until the end of the block.

    `setting` names the address in errors, `names` are the services that are healthy, `drain` is the seconds that open
    calls get to end; with `credentials` it speaks TLS. Raises `Unstartable`.
    """
    checks = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        if credentials:
            server.add_secure_port(address, credentials)
        else:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unstartable(address_taken(setting, address, error)) from error
    await server.start()
    try:
        for name in ("", *names):
            await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
        yield
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(drain)


class _Health(health.aio.HealthServicer):  # type: ignore[misc, name-defined]  # set at import, unseen by mypy
    """Health whose `List` responds: the one of the library raises an error, and gRPC logs a traceback for each call."""

    async def List(  # noqa: N802  # gRPC's name
        self, _request: health_pb2.HealthListRequest, _context: object
    ) -> health_pb2.HealthListResponse:
        statuses = {name: health_pb2.HealthCheckResponse(status=each) for name, each in self._server_status.items()}
        return health_pb2.HealthListResponse(statuses=statuses)


def address_taken(setting: str, address: str, error: Exception) -> str:
    """Why an address cannot be listened at, for people."""
    return f"cannot listen on {address} ({setting}): is another program using it? {error}"


@contextlib.asynccontextmanager
async def site_open(
    site: web.Application,
    address: str,
    setting: str,
    connections: DoorConnections,
    *,
    drain: float,
    listener: socket.socket | None = None,
) -> AsyncIterator[None]:
    """A web site with those connections on that address, and at the socket `listener` if there is one, until the end of
    the block. Raises `Unstartable`."""
    site.middlewares.insert(0, connections.middleware())
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=drain, logger=_protocol_errors())
    host, _, port = address.rpartition(":")
    try:
        await runner.setup()
        assert runner.server is not None  # it is set up
        try:
            listeners = await listening_sockets(host.strip("[]"), int(port))
        except OSError as error:
            raise Unstartable(address_taken(setting, address, error)) from error
        with contextlib.ExitStack() as stack:
            for each in listeners:
                stack.enter_context(connections.accepting(each, runner.server))
            if listener:
                stack.enter_context(connections.accepting(listener, runner.server))
            sweeping = asyncio.create_task(connections.sweep())
            stack.callback(sweeping.cancel)
            yield
    finally:
        await runner.cleanup()
        await connections.abort()


def _protocol_errors() -> logging.Logger:
    """What aiohttp logs: a traceback for each request that is not HTTP. Here it is counted."""
    logger = logging.Logger("http")
    logger.addHandler(_Counting())
    return logger


class _Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._errors = CountedWarning("http_error")

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        error = record.exc_info[1] if record.exc_info else None
        self._errors.count(message=record.getMessage()[:200], error=repr(error)[:200])
