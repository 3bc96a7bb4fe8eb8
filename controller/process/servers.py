"""Opening and closing a port: a gRPC server or a web site on one address."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import grpc
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection


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
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]  # set at import, unseen by mypy
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


def address_taken(setting: str, address: str, error: Exception) -> str:
    """Why an address cannot be listened at, for people."""
    return f"cannot listen on {address} ({setting}): is another program using it? {error}"


@contextlib.asynccontextmanager
async def site_open(
    site: web.Application,
    address: str,
    setting: str,
    *,
    drain: float,
    context: ssl.SSLContext | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[None]:
    """A web site on that address until the end of the block, by TLS with a `context`; also at the socket `listener`, if
    there is one. Raises `Unstartable`."""
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=drain)
    host, _, port = address.rpartition(":")
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), reuse_port=False, ssl_context=context).start()
            if listener:
                await web.SockSite(runner, listener).start()
        except OSError as error:
            raise Unstartable(address_taken(setting, address, error)) from error
        yield
    finally:
        await runner.cleanup()
