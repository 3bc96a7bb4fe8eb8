"""The composition root: open the store, assemble a controller, serve, stop. The parts are wired in `assembly/`.

A controller does two things. What every replica does runs from start to end: follow the store, serve proxies and
operators, take in telemetry. What the deciding replica does runs inside a term (`assembly/term_work.py`).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Collection

import structlog

from controller.assembly.authentication import Authentication
from controller.assembly.base import make_base
from controller.assembly.doors import Doors
from controller.assembly.open_store import open_store
from controller.assembly.open_traces import opened_traces
from controller.assembly.operator_apis import OperatorApis, make_operations
from controller.assembly.peers import Peers
from controller.assembly.proxy_services import ProxyServices
from controller.assembly.term_work import TermWork
from controller.assembly.workers import Workers
from controller.core.base.errors import Refusal
from controller.core.model.store_errors import StoreLost
from controller.ports.decision_tracer import NO_TRACES, DecisionTracer
from controller.ports.members import Members
from controller.ports.store import Backend
from controller.process.clock import SystemClock
from controller.process.descriptors import DescriptorShares, raise_descriptor_limit, share_descriptors
from controller.process.event_loop import EventLoop
from controller.process.fault_points import arm, reach, read_faults
from controller.process.gc_tuning import tune_gc
from controller.process.logs import configure_logs
from controller.process.servers import Unstartable
from controller.process.service_manager import ServiceManager
from controller.runtime.endpoint_saver import EndpointSaver
from controller.runtime.leadership import lead
from controller.runtime.store_probe import probe_store
from controller.runtime.store_watch import watch_store
from controller.settings import Settings
from controller.store.local_members import LocalMembers

log = structlog.get_logger()


class Controller:
    """Everything of one running controller, wired."""

    def __init__(
        self,
        settings: Settings,
        store: Backend,
        clock: SystemClock,
        shares: DescriptorShares,
        tracer: DecisionTracer = NO_TRACES,
    ) -> None:
        """`Refusal` that names the setting if a file of [tls] or [[access]] cannot be used."""
        self._settings = settings
        self._store = store
        base = make_base(settings, store, clock, tracer, self._on_endpoints)
        self._replica = base.replica
        self._sources = base.sources
        workers = settings.workers > 1
        self._proxies = ProxyServices(base, may_lag=store.shared and not workers)  # a first process is never behind
        self._authentication = Authentication(settings, clock, base.metrics)
        self._endpoint_saver = EndpointSaver(base.sources, base.last_known, clock)
        self._peers = Peers(
            base, self._proxies, (lambda: None) if workers else self._authentication.channel_credentials
        )
        self._workers = Workers(base, self._peers, _local(store.members)) if workers else None
        self._operations = make_operations(base, self._peers.observatory, self._proxies.xds.right_of_way)
        self._term_work = TermWork(
            base,
            self._proxies,
            self._peers,
            operations=self._operations,
            certificates=self._authentication.certificates,
        )
        self._apis = OperatorApis(
            base,
            self._proxies,
            self._peers,
            self._workers,
            authentication=self._authentication,
            operations=self._operations,
        )
        self._doors = Doors(settings, self._authentication.tls, shares)
        self._unready: str | None = "starting"

    async def serve(self, stop: asyncio.Event, manager: ServiceManager) -> None:
        """Serve what the store holds, decide while there is a term for it, until `stop`; drain. Raises `Unstartable`.

        The xDS port opens only once a complete snapshot stands: a proxy must never see half of a configuration.
        """
        try:
            view = await self._store.load()
        except StoreLost:  # it is said everywhere; what was served last is served on
            view = self._store.newest()
        reach("start:before")
        async with self._sources.watching():
            self._sources.on_view(view)
            await self._sources.first_read()
            self._proxies.publish(view)
            self._replica.on_view(view)
            async with self._ports_open():
                self._unready = None
                self._log_addresses()
                manager.ready()
                await self._run_until(stop, manager)

    async def _run_until(self, stop: asyncio.Event, manager: ServiceManager) -> None:
        """Run everything until `stop`, then end every xDS stream while the decider saves."""
        work = (
            lead(self._store, self._peers.membership.instance, self._term_work.decide),
            watch_store(self._store, self._replica, self._proxies.publish),
            self._operations.run(),
            self._proxies.load_reports.run(),
            self._endpoint_saver.run(),
            probe_store(self._store),
            manager.run(),
            *self._peers.work(),
            *self._term_work.work(),
            *self._authentication.work(),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            await stop.wait()
            log.info("draining")
            manager.stopping()
            reach("drain:before")
            self._unready = "draining"
            if self._workers:
                self._workers.drain()
            for task in running:
                task.cancel()
            await self._proxies.xds.drain()

    def _on_endpoints(self, services: Collection[str], moved: bool) -> None:
        self._proxies.on_endpoints(services, moved)  # which are made after the sources that call this

    @contextlib.asynccontextmanager
    async def _ports_open(self) -> AsyncIterator[None]:
        """The ports of operators open before that of the proxies, and close after it."""
        proxies, recorder = self._proxies, self._term_work.recorder
        async with (
            self._doors.http(self._apis.site(self._why_unready)),
            self._doors.admin(
                self._authentication.doorkeeper("admin"), lambda server: self._apis.add_admin(server, recorder)
            ),
            self._workers.running(recorder) if self._workers else contextlib.nullcontext(),
            self._doors.xds((proxies.xds, proxies.load_reports, proxies.metrics)),
        ):
            tune_gc()
            yield

    def _why_unready(self) -> str | None:
        """Why this controller should not be relied on now; None if it can."""
        problem = self._store.health.problem
        return self._unready or (f"store: {problem}" if problem else None)

    def _log_addresses(self) -> None:
        log.info(
            "serving",
            xds=self._settings.xds_listen,
            admin=self._settings.admin_listen,
            http=f"{'https' if self._settings.tls else 'http'}://{self._settings.http_listen}",
            socket=self._settings.admin_socket,
            access=f"{len(self._settings.access)} bindings" if self._settings.access else "whoever reaches a door",
            store=self._settings.store,
        )


async def run(settings: Settings, shares: DescriptorShares, *, init: bool) -> None:
    """Run a controller until SIGTERM or SIGINT. Raises `Unstartable`."""
    clock = SystemClock()
    if settings.fault_points:
        log.warning("test_mode", fault_points=settings.fault_points)
        arm(read_faults(settings.fault_points))
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    store = await open_store(settings, clock, init=init)
    try:
        async with opened_traces(settings, clock) as tracer:
            controller = _controller(settings, store, clock, shares, tracer)
            await controller.serve(stop, ServiceManager.of_environment(os.environ))
    finally:
        await store.close()


def _controller(
    settings: Settings, store: Backend, clock: SystemClock, shares: DescriptorShares, tracer: DecisionTracer
) -> Controller:
    try:
        return Controller(settings, store, clock, shares, tracer)
    except Refusal as refusal:
        raise Unstartable(refusal.message) from refusal


def _local(members: Members) -> LocalMembers:
    """Those of a store that one process has to itself: the settings refuse workers over any other."""
    assert isinstance(members, LocalMembers)
    return members


def serve(settings: Settings, *, init: bool) -> int:
    """`haldane serve`: the exit code. With `init` a store is made where there is none, although one was."""
    configure_logs(settings.log_level)
    shares = share_descriptors(raise_descriptor_limit())
    try:
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(run(settings, shares, init=init))
    except Unstartable as error:
        log.error("cannot_start", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    log.info("stopped")
    return 0
