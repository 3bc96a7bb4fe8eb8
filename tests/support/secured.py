"""A whole controller in the test's process, its doors secured by TLS and access rules, and its callers."""

import asyncio
import contextlib
import hashlib
import os
import pwd
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web

from controller.admin.http_guard import guard
from controller.app import Controller
from controller.assembly.open_store import open_store
from controller.core.access.binding import Binding
from controller.core.access.permission import Role
from controller.identity.tls_settings import Tls
from controller.process.clock import SystemClock
from controller.process.descriptors import raise_descriptor_limit, share_descriptors
from controller.process.service_manager import ServiceManager
from controller.process.web_route import Route
from controller.settings import Settings
from tests.support.authority import Authority, IssuedCertificate
from tests.support.process import free_port
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Identity:
    """Who calls, and with what."""

    name: str = ""
    """The name that a controller has for it; empty if it is nobody."""
    certificate: IssuedCertificate | None = None
    token: str = ""
    role: Role | None = None
    connects: bool = True
    """Whether its TLS handshake succeeds at the admin and HTTP doors."""
    socket: bool = False
    """Whether it comes through the UNIX sockets."""
    valid: bool = True
    """Whether its token is."""
    fleet: str = ""
    """Of which fleet its certificate is."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Its gRPC metadata."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def headers(self) -> dict[str, str]:
        """Its HTTP headers."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass
class Secured:
    """The controller, who may call it, and every handler that its gRPC servers have."""

    folder: Path
    authority: Authority
    settings: Settings
    identities: Mapping[str, Identity]
    handlers: dict[str, set[str]] = field(default_factory=dict)
    """Door -> the methods of its server, as `/service/method`."""
    routes: list[Route] = field(default_factory=list)
    """What the web site's guard knows of its routes."""
    site: list[web.Application] = field(default_factory=list)
    """The web site."""

    @contextlib.asynccontextmanager
    async def channel(self, identity: Identity, address: str = "") -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own to the admin port, or to that address."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        if identity.socket:
            opened = grpc.aio.insecure_channel(f"unix:{self.settings.admin_socket}", options)
        else:
            certificate = identity.certificate
            pair = (certificate.key, certificate.certificate) if certificate else (None, None)
            credentials = grpc.ssl_channel_credentials(self.authority.certificate, *pair)
            opened = grpc.aio.secure_channel(address or self.settings.admin_listen, credentials, options)
        async with opened as channel:
            yield channel

    @contextlib.asynccontextmanager
    async def http(self, identity: Identity, *traces: aiohttp.TraceConfig) -> AsyncIterator[aiohttp.ClientSession]:
        """A session at the HTTP door, traced by these."""
        if identity.socket:
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(self.settings.http_socket)
            base = "http://localhost"
        else:
            connector = aiohttp.TCPConnector(ssl=self.client_context(identity.certificate))
            base = f"https://{self.settings.http_listen}"
        headers, given = identity.headers, list(traces)
        async with aiohttp.ClientSession(base, connector=connector, headers=headers, trace_configs=given) as session:
            yield session

    def client_context(self, certificate: IssuedCertificate | None) -> ssl.SSLContext:
        """The TLS side of a client with that certificate."""
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        if certificate:
            path = self.folder / f"client-{hashlib.sha256(certificate.key).hexdigest()[:8]}.pem"
            path.write_bytes(certificate.certificate + certificate.key)
            context.load_cert_chain(path)
        return context


def identities_of(authority: Authority) -> dict[str, Identity]:
    """Everybody who may come."""

    def person(name: str) -> IssuedCertificate:
        return authority.issue(spiffe=f"spiffe://prod/ns/people/{name}")

    found = {
        "no identity": Identity(),
        "wrong CA": Identity(certificate=Authority().issue("admin"), connects=False),
        "expired": Identity(
            certificate=authority.issue("admin", until=datetime.now(UTC) - timedelta(minutes=1)), connects=False
        ),
        "a proxy": Identity(
            "spiffe://prod/ns/ml/fleet/edge", authority.issue(spiffe="spiffe://prod/ns/ml/fleet/edge"), fleet="edge"
        ),
        "a proxy of another fleet": Identity(
            "spiffe://prod/ns/ml/fleet/core", authority.issue(spiffe="spiffe://prod/ns/ml/fleet/core"), fleet="core"
        ),
        "a token of nobody": Identity(token="x" * 40, valid=False),
        "a token of nobody beside a certificate": Identity(token="x" * 40, certificate=person("admin"), valid=False),
        "own socket": Identity(f"unix:{pwd.getpwuid(os.geteuid()).pw_name}", role=Role.ADMIN, socket=True),
    }
    for role in Role:
        found[f"{role} by certificate"] = Identity(f"spiffe://prod/ns/people/{role}", person(role), role=role)
        found[f"{role} by token"] = Identity(f"{role}-token", token=f"{role}-{'t' * 30}", role=role)
    return found


def _bindings(folder: Path) -> tuple[Binding, ...]:
    """Each role by a SPIFFE ID and by a file of tokens."""
    bindings = []
    for role in Role:
        path = folder / f"{role}-tokens"
        token = f"{role}-{'t' * 30}"
        path.write_text(f"{role}-token {hashlib.sha256(token.encode()).hexdigest()}\n")
        bindings.append(Binding(token_file=str(path), role=role))
        bindings.append(Binding(spiffe=f"spiffe://prod/ns/people/{role}", role=role))
    return tuple(bindings)


@contextlib.asynccontextmanager
async def secured_controller(
    folder: Path,
    bindings: Sequence[Binding] = (),
    *,
    until: datetime | None = None,
    age: float = 3600.0,
    **settings: Any,
) -> AsyncIterator[Secured]:
    """A controller with TLS on every door, until the end of the block. `bindings` come beside those of each role; its
    certificate is valid `until` then, or for an hour. A connection's `age` may be below what the settings allow."""
    authority = Authority()
    own = authority.issue("controller", until=until)
    content = {"tls.crt": own.certificate, "tls.key": own.key, "ca.crt": authority.certificate}
    for name, pem in content.items():
        (folder / name).write_bytes(pem)
    listens = {f"{door}_listen": f"127.0.0.1:{free_port()}" for door in ("xds", "admin", "http")}
    made = Settings(
        tls=Tls(certificate_file=folder / "tls.crt", key_file=folder / "tls.key", client_ca_file=folder / "ca.crt"),
        access=(*_bindings(folder), *bindings),
        store=f"sqlite:{folder / 'haldane.db'}",
        store_reserve=1024 * 1024,
        admin_socket=str(folder / "a.sock"),
        http_socket=str(folder / "h.sock"),
        drain=0.2,
        **{**listens, **settings},
    ).model_copy(update={"max_connection_age": age})
    secured = Secured(folder, authority, made, identities_of(authority))
    store = await open_store(made, clock := SystemClock())
    stop = asyncio.Event()
    with _recorded(secured):
        shares = share_descriptors(raise_descriptor_limit())
        running = asyncio.create_task(Controller(made, store, clock, shares).serve(stop, ServiceManager()))
        try:
            await wait_until(lambda: running.done() or _listens(made.xds_listen))
            yield secured
        finally:
            stop.set()
            await running
            await store.close()


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@contextlib.contextmanager
def _recorded(secured: Secured) -> Iterator[None]:
    """Note every handler that is added to a gRPC server, by the door where it listens, and the web site."""
    added: dict[int, set[str]] = {}
    server: Any = type(grpc.aio.server())
    add_handlers, add_insecure, add_secure = (
        server.add_generic_rpc_handlers,
        server.add_insecure_port,
        server.add_secure_port,
    )
    setup = web.AppRunner.setup

    def note_handlers(self: Any, handlers: Any) -> None:
        for each in handlers:
            added.setdefault(id(self), set()).update(each._method_handlers)  # nothing else lists them
        add_handlers(self, handlers)

    def note_insecure(self: Any, address: str) -> int:
        secured.handlers["admin"] = added[id(self)]
        return int(add_insecure(self, address))

    def note_secure(self: Any, address: str, credentials: Any) -> int:
        secured.handlers["xds"] = added[id(self)]
        return int(add_secure(self, address, credentials))

    def note_routes(doorkeeper: Any, routes: Iterable[Route]) -> Any:
        secured.routes.extend(routes)
        return guard(doorkeeper, routes)

    async def note_site(self: Any) -> None:
        secured.site.append(self.app)
        await setup(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "add_generic_rpc_handlers", note_handlers)
        patch.setattr(server, "add_insecure_port", note_insecure)
        patch.setattr(server, "add_secure_port", note_secure)
        patch.setattr("controller.admin.http_api.guard", note_routes)
        patch.setattr(web.AppRunner, "setup", note_site)
        yield
