"""A worker: a further process of a controller, which serves proxies and decides nothing.

It follows the first process, which has started it, and passes on to it what its proxies report, as controllers that
share a store do. It ends when the first one does: when its standard input ends.
"""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Collection

import grpc
import structlog

from controller import __version__
from controller.assembly.base import make_base
from controller.assembly.doors import Doors
from controller.assembly.open_traces import opened_traces
from controller.assembly.peers import Peers
from controller.assembly.proxy_services import ProxyServices
from controller.assembly.worker_order import WorkerOrder
from controller.core.base.errors import Refusal
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import StoreLost
from controller.identity.tls_files import TlsFiles
from controller.monitoring.current_state import CurrentState
from controller.monitoring.exposition import Exposition
from controller.ports.decision_tracer import DecisionTracer
from controller.process.clock import SystemClock
from controller.process.descriptors import DescriptorShares, raise_descriptor_limit, share_descriptors
from controller.process.event_loop import EventLoop
from controller.process.gc_tuning import tune_gc
from controller.process.host_name import advertised
from controller.process.logs import configure_logs
from controller.process.servers import COMMON_OPTIONS, Unstartable
from controller.runtime.store_watch import watch_store
from controller.workers.first_client import FirstClient
from controller.workers.followed_store import FollowedStore
from controller.workers.metrics_service import metrics_handlers

END_BEYOND = 2.0
"""Seconds beyond `drain` after which a worker that does not end by itself ends all the same."""
LIFELINE = 0
"""The file descriptor whose end says that this worker is to end: standard input."""

log = structlog.get_logger()


class Worker:
    """Everything of one worker, wired. `serving` says whether proxies may be connected."""

    def __init__(
        self, order: WorkerOrder, first: FirstClient, me: Member, shares: DescriptorShares, tracer: DecisionTracer
    ) -> None:
        """`Refusal` that names the setting if a file of [tls] cannot be used. `first` is how the first process is
        reached, `me` what it shows of this one."""
        self.serving = False
        settings = order.settings
        self._own = order.own
        self._first = first
        self._store = FollowedStore(first)
        self._base = make_base(settings, self._store, SystemClock(), tracer, self._on_endpoints)
        self._proxies = ProxyServices(self._base, may_lag=True)
        self._peers = Peers(self._base, self._proxies, lambda: None, me)
        self._doors = Doors(settings, TlsFiles(settings.tls) if settings.tls else None, shares)

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve what the first process publishes until `stop`, then drain. `StoreLost` if nothing comes, `Unstartable`
        if a port or socket cannot be listened at."""
        following = asyncio.create_task(self._store.follow(self._first))
        try:
            view = await self._store.load()
            async with self._base.sources.watching():
                self._base.sources.on_view(view)
                await self._base.sources.first_read()
                self._proxies.publish(view)
                self._base.replica.on_view(view)
                await self._serve_ports(stop)
        finally:
            following.cancel()
            await asyncio.wait([following])
            await self._store.close()

    async def _serve_ports(self, stop: asyncio.Event) -> None:
        proxies, peers = self._proxies, self._peers
        server = grpc.aio.server(options=COMMON_OPTIONS)
        server.add_generic_rpc_handlers((*peers.handlers(_NoRecordings()), *metrics_handlers(self._exposition().read)))
        server.add_insecure_port(self._own)
        await server.start()
        try:
            async with self._doors.xds((proxies.xds, proxies.load_reports, proxies.metrics)):
                self.serving = True
                tune_gc()
                log.info("serving", xds=self._base.settings.xds_listen)
                work = (
                    watch_store(self._store, self._base.replica, proxies.publish),
                    proxies.load_reports.run(),
                    *peers.work(),
                )
                async with asyncio.TaskGroup() as tasks:
                    running = [tasks.create_task(each) for each in work]
                    await stop.wait()
                    log.info("draining")
                    for task in running:
                        task.cancel()
                    await proxies.xds.drain()
        finally:
            await server.stop(0)

    def _on_endpoints(self, services: Collection[str], moved: bool) -> None:
        self._proxies.on_endpoints(services, moved)  # which are made after the sources that call this

    def _exposition(self) -> Exposition:
        base = self._base
        state = CurrentState(base.replica, self._proxies.xds, base.book, base.metrics, base.store.health)
        return Exposition(base.metrics.registry, state, *self._peers.states())


class _NoRecordings:
    """Implements `ports.recordings.Recordings` where nothing is judged."""

    async def find(self, _rollout_id: str) -> Recording | None:
        """None."""
        return None


async def run(order: WorkerOrder, shares: DescriptorShares) -> None:
    """Serve until SIGTERM, or until the first process ends. Raises `Unstartable` and `StoreLost`."""
    settings, clock, loop = order.settings, SystemClock(), asyncio.get_running_loop()
    me = Member(
        instance=uuid.uuid4().hex,
        name=order.name,
        since=clock.wall(),
        version=__version__,
        records=SCHEMA,
        xds=advertised(settings.xds_listen, settings.advertise),
        admin=order.own,
    )
    stop = asyncio.Event()
    worker: Worker | None = None

    def end() -> None:
        loop.remove_reader(LIFELINE)
        stop.set()
        patience = settings.drain + END_BEYOND if worker and worker.serving else 0.0  # else there is nothing to drain
        loop.call_later(patience, os._exit, 1)

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal sends it to all; the first process decides
    loop.add_reader(LIFELINE, end)  # nothing is written there any more, so that it can only be the end
    first = FirstClient(order.first, order.number, me.instance)
    try:
        async with opened_traces(settings, clock) as tracer:
            try:
                worker = Worker(order, first, me, shares, tracer)
            except Refusal as refusal:
                raise Unstartable(refusal.message) from refusal
            await worker.serve(stop)
    finally:
        await first.close()


def main() -> int:
    """Do what the order on standard input says: the exit code."""
    order = WorkerOrder.read(LIFELINE)
    if order is None:
        return 1
    configure_logs(order.settings.log_level, worker=order.number)
    shares = share_descriptors(raise_descriptor_limit())
    try:
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(run(order, shares))
    except (Unstartable, StoreLost) as error:
        log.error("cannot_start", reason=str(error))
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
