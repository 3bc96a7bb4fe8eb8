"""The composition root: the only module that knows every adapter. Builds them, starts them, ends them in order."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import structlog
from aiohttp import ClientSession

from controller import __version__
from controller.admin import OPTIONS as ADMIN_OPTIONS
from controller.admin.http import make_http
from controller.admin.service import SERVICE_NAMES, add_admin
from controller.console.pages import console_routes
from controller.core.model.store_errors import Unusable
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.hooks.gates import HookGates
from controller.hooks.listener import Listener
from controller.monitoring.metrics import Metrics
from controller.notify.cloud_events import Program
from controller.notify.follow import Notifications
from controller.notify.people import People
from controller.ports.audience import Audience
from controller.process.clock import SystemClock
from controller.process.fault_points import arm, reach, read_faults
from controller.process.gc_tuning import spare_collection
from controller.process.http_client import open_session
from controller.process.logs import configure_logs
from controller.process.servers import COMMON_OPTIONS, Unstartable, server_open, site_open
from controller.runtime.cycle import Loop
from controller.runtime.ledger_writer import WHO, Diary
from controller.runtime.operations import Operations
from controller.runtime.proxy_events import News
from controller.runtime.recorder import Recorder
from controller.runtime.session_saver import Keeper
from controller.runtime.store_probe import feel_the_store
from controller.runtime.ticker import Lookout
from controller.settings import Settings
from controller.store.sqlite import SqliteStore
from controller.telemetry.envoy_metrics import EnvoyMetrics
from controller.telemetry.load_reports import LoadReports
from controller.telemetry.prometheus import Prometheus
from controller.xds.server import XdsServer, make_grpc_server

log = structlog.get_logger()

MOST_REPORTED = ("grpc.max_receive_message_length", 16 * 1024 * 1024)
"""Bytes of a message on the xDS port: one flush of an Envoy's unfiltered metrics is about 10 KB a service. Requests
for configuration have a limit of their own, far below."""


class Controller:
    """Everything of one running controller, wired."""

    def __init__(self, settings: Settings, store: SqliteStore, clock: SystemClock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metrics = Metrics()
        self._news = News(self._metrics)
        self._book = Book()
        self._load_reports = LoadReports(
            self._book, clock, interval=settings.report_interval, on_news=self._news.notice
        )
        self._xds = XdsServer(
            clock=clock,
            shared=store.shared,
            limits=settings.xds_limits,
            identifier=f"haldane/{__version__} {socket.gethostname()} {os.getpid()}",
            observer=self._news,
        )
        self._recorder = Recorder(store, clock)
        self._unready: str | None = "starting"

    async def serve(self, stop: asyncio.Event) -> None:
        """Take over the store, open the doors, run until `stop`, drain, save. Raises `Unstartable`."""
        # Hooks that gate, those who are told, and metrics have sessions of their own: none uses up another's share.
        async with open_session() as asking, open_session() as telling, open_session() as reading:
            term = await self._store.campaign(WHO)
            view = await self._store.load()
            reach("start:before")
            gates, custom = self._hook_gates(asking), self._prometheus(reading)
            loop = self._news.loop = self._loop(view, term.token, gates, custom)
            operations = self._operations(loop)
            audiences = _audiences(self._settings, telling, self._clock, loop)
            # The xDS port opens only once a complete snapshot stands: a proxy must never see half a world.
            self._publish(view)
            with contextlib.closing(gates):
                async with self._doors_open(loop, operations):
                    self._unready = None
                    self._say_where()
                    await self._run_until(stop, loop, operations, custom, audiences)
                    self._unready = "draining"
                    await self._xds.drain()
            await loop.save()
            await self._recorder.save()

    def _hook_gates(self, asking: ClientSession) -> HookGates:
        return HookGates(
            self._settings.hooks,
            session=asking,
            clock=self._clock,
            meter=self._metrics,
            on_news=self._news.notice,
        )

    def _prometheus(self, reading: ClientSession) -> Prometheus:
        return Prometheus(
            self._settings.prometheus,
            self._settings.metrics,
            session=reading,
            clock=self._clock,
            interval=self._settings.prometheus_interval,
            timeout=self._settings.prometheus_timeout,
            on_news=self._news.notice,
        )

    def _loop(self, view: View, token: int, gates: HookGates, custom: Prometheus) -> Loop:
        store, clock, meter = self._store, self._clock, self._metrics
        keeper, diary = Keeper(store, clock), Diary(store, token)
        lookout = Lookout(
            store=store,
            keeper=keeper,
            diary=diary,
            recorder=self._recorder,
            book=self._book,
            fleet=self._xds,
            gates=gates,
            custom=custom,
            clock=clock,
            meter=meter,
            sync_share=self._settings.sync_share,
            token=token,
        )
        return Loop(lookout, store=store, keeper=keeper, diary=diary, clock=clock, meter=meter, view=view)

    def _operations(self, loop: Loop) -> Operations:
        return Operations(
            self._store,
            self._clock,
            self._settings.hooks,
            self._settings.metrics,
            obeyed=self._metrics.obeyed,
            sight=loop,
            most_services=self._settings.max_services,
            most_freezes=self._settings.max_freezes,
        )

    def _publish(self, view: View) -> None:
        """Serve this view, and listen to the versions that it names."""
        reach("push:before")
        self._xds.publish(view)
        reach("push:after")
        self._load_reports.follow(view)

    @contextlib.asynccontextmanager
    async def _doors_open(self, loop: Loop, operations: Operations) -> AsyncIterator[None]:
        """The doors of operators open before that of the proxies, and close after it."""
        async with self._http_door(loop, operations), self._admin_door(loop, operations), self._xds_door():
            spare_collection()
            yield

    @contextlib.asynccontextmanager
    async def _xds_door(self) -> AsyncIterator[None]:
        stats = EnvoyMetrics(self._book, self._clock)
        server = make_grpc_server(self._settings.xds_limits, MOST_REPORTED)
        server.add_generic_rpc_handlers((*self._xds.handlers(), *self._load_reports.handlers(), *stats.handlers()))
        async with server_open(server, self._settings.xds_listen, "HALDANE_XDS_LISTEN", (), self._settings.drain):
            yield

    @contextlib.asynccontextmanager
    async def _admin_door(self, loop: Loop, operations: Operations) -> AsyncIterator[None]:
        server = grpc.aio.server(options=[*ADMIN_OPTIONS, *COMMON_OPTIONS])
        watches = add_admin(server, operations, loop, self._xds, self._recorder)
        server.add_generic_rpc_handlers(self._xds.csds_handlers())
        where = self._settings.admin_listen
        async with server_open(server, where, "HALDANE_ADMIN_LISTEN", SERVICE_NAMES, self._settings.drain):
            try:
                yield
            finally:
                watches.drain()

    @contextlib.asynccontextmanager
    async def _http_door(self, loop: Loop, operations: Operations) -> AsyncIterator[None]:
        self._metrics.expose(loop, self._xds, self._book)
        site = make_http(
            operations,
            loop,
            self._xds,
            ready=lambda: self._unready,
            registry=self._metrics.registry,
            pages=console_routes(operations, loop, self._xds, ready=lambda: self._unready),
        )
        async with site_open(site, self._settings.http_listen, "HALDANE_HTTP_LISTEN", self._settings.drain):
            yield

    async def _run_until(
        self, stop: asyncio.Event, loop: Loop, operations: Operations, custom: Prometheus, audiences: list[Audience]
    ) -> None:
        notifications = Notifications(
            store=self._store, cursors=self._store, observatory=loop, clock=self._clock, meter=self._metrics
        )
        work = (
            loop.follow(self._publish),
            loop.run(),
            operations.run(),
            feel_the_store(self._store, self._metrics),
            self._recorder.run(),
            custom.run(loop.view),
            notifications.run(audiences),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            await stop.wait()
            log.info("draining")
            reach("drain:before")
            for task in running:
                task.cancel()

    def _say_where(self) -> None:
        log.info(
            "serving",
            xds=self._settings.xds_listen,
            admin=self._settings.admin_listen,
            http=f"http://{self._settings.http_listen}",
            store=self._settings.store,
        )


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
        return SqliteStore.open(path, clock=clock)
    except Unusable as unusable:  # which names the file
        raise Unstartable(f"the state file {unusable}") from unusable


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
