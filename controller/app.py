"""The composition root: the only module that knows every adapter. Builds them, starts them, ends them in order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import structlog
from aiohttp import ClientSession, web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller import __version__
from controller.admin import OPTIONS as ADMIN_OPTIONS
from controller.admin.http import make_http
from controller.admin.service import add_admin
from controller.console.pages import console_routes
from controller.core.routing import cluster_name
from controller.core.telemetry import Book
from controller.core.view import Entry, View
from controller.diary import WHO
from controller.faults import arm, reach, read_faults
from controller.hooks.gates import HookGates
from controller.hooks.listener import Listener
from controller.loop import Loop
from controller.metrics import Metrics
from controller.notify.cloud_events import Program
from controller.notify.follow import Notifications
from controller.notify.people import People
from controller.operations import Operations
from controller.outbound import open_session
from controller.pb.haldane.admin.v1 import admin_pb2
from controller.ports import Audience, Unusable
from controller.settings import Settings
from controller.store.sqlite import SqliteStore
from controller.telemetry.envoy_metrics import EnvoyMetrics
from controller.telemetry.load_reports import LoadReports
from controller.xds.limits import DEFAULT, server_options
from controller.xds.server import XdsServer

log = structlog.get_logger()


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()


class Unstartable(Exception):  # noqa: N818
    """Why the controller cannot start, in words for the one who started it."""


class Reports:
    """Where the xDS server tells what proxies did: into the metrics, the ledger and the loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.loop: Loop | None = None

    def acknowledged(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy acknowledged what was published so long ago."""
        self._metrics.acknowledged(seconds)
        self.notice()

    def rejected(self, node: str, fleet: str, type_url: str, error: str) -> None:
        """A proxy refused a configuration: counted, shown, and written down."""
        self._metrics.rejected(type_url)
        log.warning("proxy_refused", node=node, fleet=fleet, type=type_url, error=error)
        if self.loop:
            self.loop.note(
                Entry(
                    kind="proxy_refused", who=WHO, why=error, details={"node": node, "fleet": fleet, "type": type_url}
                )
            )

    def connected(self, node: str, fleet: str) -> None:
        """A proxy opened its stream."""
        log.info("proxy_connected", node=node, fleet=fleet)
        self.notice()

    def disconnected(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        log.info("proxy_disconnected", node=node, fleet=fleet)
        self.notice()

    def notice(self) -> None:
        """Something happened that the loop should look at."""
        if self.loop:
            self.loop.notice()


class Controller:
    """Everything of one running controller, wired."""

    def __init__(self, settings: Settings, store: SqliteStore, clock: SystemClock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metrics = Metrics()
        self._reports = Reports(self._metrics)
        self._book = Book()
        self._load_reports = LoadReports(
            self._book, clock, interval=settings.report_interval, on_news=self._reports.notice
        )
        self._xds = XdsServer(
            clock=clock,
            identifier=f"haldane/{__version__} {socket.gethostname()} {os.getpid()}",
            observer=self._reports,
        )
        self._unready: str | None = "starting"

    async def serve(self, stop: asyncio.Event) -> None:
        """Open the doors, run until `stop`, then drain. Raises `Unstartable`."""
        async with open_session() as asking, open_session() as telling:
            await self._serve(stop, asking, telling)

    async def _serve(self, stop: asyncio.Event, asking: ClientSession, telling: ClientSession) -> None:
        """`asking` is for hooks that gate, `telling` for those who are told: so neither uses up the other's share."""
        term = await self._store.campaign(WHO)
        view = await self._store.load()
        reach("start:before")
        gates = HookGates(
            self._settings.hooks,
            session=asking,
            clock=self._clock,
            meter=self._metrics,
            on_news=self._reports.notice,
        )
        loop = Loop(
            store=self._store,
            archive=self._store,
            book=self._book,
            fleet=self._xds,
            gates=gates,
            clock=self._clock,
            meter=self._metrics,
            sync_share=self._settings.sync_share,
            view=view,
            token=term.token,
        )
        self._reports.loop = loop
        # The xDS port opens only once a complete snapshot stands: a proxy must never see half a world.
        self._publish(view)
        async with contextlib.AsyncExitStack() as doors:
            doors.callback(gates.close)
            await doors.enter_async_context(self._http_door(loop))
            await doors.enter_async_context(self._admin_door(loop))
            await doors.enter_async_context(self._xds_door(loop))
            self._unready = None
            self._say_where()
            await self._until(stop, loop, _audiences(self._settings, telling, self._clock, loop))
            self._unready = "draining"
            await self._xds.drain()
        await loop.save()

    def _publish(self, view: View) -> None:
        """Serve this view, and listen to the versions that it names."""
        reach("push:before")
        self._xds.publish(view)
        reach("push:after")
        versions = ((state.name, version.name) for state in view.services.values() for version in state.spec.versions)
        self._book.follow(cluster_name(service, version) for service, version in versions)
        self._load_reports.follow(view)

    async def _until(self, stop: asyncio.Event, loop: Loop, audiences: list[Audience]) -> None:
        notifications = Notifications(
            store=self._store, cursors=self._store, observatory=loop, clock=self._clock, meter=self._metrics
        )
        work = (loop.follow(self._publish), loop.run(), notifications.run(audiences))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            await stop.wait()
            log.info("draining")
            reach("drain:before")
            for task in running:
                task.cancel()

    @contextlib.asynccontextmanager
    async def _xds_door(self, loop: Loop) -> AsyncIterator[None]:
        stats = EnvoyMetrics(self._book, self._clock)
        server = grpc.aio.server(options=server_options(DEFAULT))
        server.add_generic_rpc_handlers((*self._xds.handlers(), *self._load_reports.handlers(), *stats.handlers()))
        async with _opened(server, self._settings.xds_listen, "HALDANE_XDS_LISTEN", (), self._settings.drain):
            yield

    @contextlib.asynccontextmanager
    async def _admin_door(self, loop: Loop) -> AsyncIterator[None]:
        server = grpc.aio.server(options=[*ADMIN_OPTIONS, *COMMON_OPTIONS])
        watches = add_admin(server, Operations(self._store, self._clock, self._settings.hooks), loop, self._xds)
        where = self._settings.admin_listen
        async with _opened(server, where, "HALDANE_ADMIN_LISTEN", ADMIN_SERVICES, self._settings.drain):
            try:
                yield
            finally:
                watches.drain()

    @contextlib.asynccontextmanager
    async def _http_door(self, loop: Loop) -> AsyncIterator[None]:
        self._metrics.expose(loop, self._xds, self._book)
        operations = Operations(self._store, self._clock, self._settings.hooks)
        site = make_http(
            operations,
            loop,
            self._xds,
            ready=lambda: self._unready,
            registry=self._metrics.registry,
            pages=console_routes(operations, loop, self._xds, ready=lambda: self._unready),
        )
        runner = web.AppRunner(site, access_log=None, shutdown_timeout=self._settings.drain)
        await runner.setup()
        host, _, port = self._settings.http_listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), reuse_port=False).start()
        except OSError as error:
            await runner.cleanup()
            raise Unstartable(_taken("HALDANE_HTTP_LISTEN", self._settings.http_listen, error)) from error
        try:
            yield
        finally:
            await runner.cleanup()

    def _say_where(self) -> None:
        log.info(
            "serving",
            xds=self._settings.xds_listen,
            admin=self._settings.admin_listen,
            http=f"http://{self._settings.http_listen}",
            store=self._settings.store,
        )


ADMIN_SERVICES = tuple(service.full_name for service in admin_pb2.DESCRIPTOR.services_by_name.values())
COMMON_OPTIONS = (("grpc.so_reuseport", 0),)
"""With port sharing, which is gRPC's default, a second controller would split the proxies unnoticed."""


@contextlib.asynccontextmanager
async def _opened(
    server: grpc.aio.Server, address: str, setting: str, names: tuple[str, ...], drain: float
) -> AsyncIterator[None]:
    """A gRPC server on that address, with health and reflection, until the end of the block."""
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]  # set at import, unseen by mypy
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unstartable(_taken(setting, address, error)) from error
    await server.start()
    for name in ("", *names):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(drain)


def _taken(setting: str, address: str, error: Exception) -> str:
    return f"cannot listen on {address} ({setting}): is another program using it? {error}"


def _audiences(settings: Settings, session: ClientSession, clock: SystemClock, loop: Loop) -> list[Audience]:
    """Everybody whom the settings want told."""
    store_id = loop.view().store_id
    audiences: list[Audience] = []
    for name, target in settings.notify.items():
        full = f"notify.{name}"
        people = target.url is None
        audiences.append(People(full, target) if people else Program(full, target, session, clock, store_id))
    for name, hook in settings.hooks.items():
        audiences.append(Listener(name, hook, session=session, clock=clock, view=loop.view))
    return audiences


def open_store(settings: Settings, clock: SystemClock) -> SqliteStore:
    """The store that the settings name. Raises `Unstartable`."""
    kind, _, where = settings.store.partition(":")
    if kind != "sqlite" or not where:
        raise Unstartable(f"HALDANE_STORE: sqlite:PATH is needed, not {settings.store!r}")
    path = Path(where).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore.open(path, clock=clock)
    except (Unusable, OSError) as error:
        raise Unstartable(f"the state file {path} cannot be used: {error}") from error


async def run(settings: Settings) -> None:
    """Run a controller until SIGTERM or SIGINT. Raises `Unstartable`."""
    clock = SystemClock()
    if settings.fault_points:
        log.warning("test_mode", fault_points=settings.fault_points)
        arm(read_faults(settings.fault_points))
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    store = open_store(settings, clock)
    try:
        await Controller(settings, store, clock).serve(stop)
    finally:
        await store.close()


def serve(settings: Settings) -> int:
    """`haldane serve`: the exit code."""
    configure_logs(settings.log_level)
    try:
        asyncio.run(run(settings))
    except Unstartable as error:
        log.error("cannot_start", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    log.info("stopped")
    return 0


def configure_logs(level: str) -> None:
    """Readable lines on a terminal, one JSON object a line otherwise; on standard error."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [structlog.processors.dict_tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
