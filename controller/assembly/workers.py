"""The workers of a controller as its first process has them: started, fed, watched and ended."""

import asyncio
import contextlib
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping

import grpc
import structlog
from prometheus_client import CollectorRegistry

from controller.assembly.base import Base
from controller.assembly.peers import Peers
from controller.assembly.worker_order import WorkerOrder
from controller.ports.recordings import Recordings
from controller.process.servers import COMMON_OPTIONS, Unstartable, address_taken
from controller.store.local_members import LocalMembers
from controller.workers.first_service import FirstService
from controller.workers.metrics_service import read_metrics
from controller.workers.supervisor import Supervisor
from controller.workers.worker_metrics import joined

COMMAND = (sys.executable, "-m", "controller.worker")
START_WITHIN = 10.0
"""Seconds for which the first process waits with its own xDS port until the workers serve: whoever listens first gets
the proxies that come first, and keeps them."""
DRAIN_BEYOND = 3.0
"""Seconds that a worker gets to end beyond `drain`."""
PORT_WITHIN = 3.0
"""Seconds for which an xDS port that is in use is tried again: workers of a first process that was killed let go of
it when they notice."""
PORT_EVERY = 0.1
OPTIONS = [*COMMON_OPTIONS, ("grpc.max_receive_message_length", 16 * 1024 * 1024)]

log = structlog.get_logger()


class Workers:
    """Implements `workers_state.KnownWorkers`."""

    def __init__(self, base: Base, peers: Peers, members: LocalMembers) -> None:
        """`members` are the store's."""
        self._settings = base.settings
        self._peers = peers
        self._folder = tempfile.mkdtemp(prefix="haldane-")  # for this user alone
        self._changed = asyncio.Event()
        address = f"unix:{self._folder}/first"
        self._address = address
        self._service = FirstService(base.store, members, address, self._changed.set)
        numbers = range(2, base.settings.workers + 1)
        orders = {n: WorkerOrder(base.settings, n, address, f"unix:{self._folder}/{n}").to_bytes() for n in numbers}
        self._supervisor = Supervisor(COMMAND, orders, base.settings.drain + DRAIN_BEYOND)

    @property
    def serving(self) -> Collection[int]:
        """The numbers of those that serve."""
        return self._service.workers.keys()

    @property
    def ends(self) -> Mapping[int, int]:
        """How often each has ended though it should run."""
        return self._supervisor.ends

    def away(self) -> Mapping[str, str]:
        """What is known of those that do not serve, by number."""
        serving = self.serving
        return {str(each): self._supervisor.why_away(each) for each in self.ends if each not in serving}

    def drain(self) -> None:
        """Let them drain, while this process does."""
        self._supervisor.drain()

    async def joined(self, own: CollectorRegistry) -> CollectorRegistry:
        """These metrics, and those of the workers."""
        workers = self._service.workers.items()
        return joined(own, await asyncio.gather(*(read_metrics(each.admin, number) for number, each in workers)))

    @contextlib.asynccontextmanager
    async def running(self, recordings: Recordings) -> AsyncIterator[None]:
        """Run them until the end of the block, which begins when they serve. `Unstartable` if the port of all is taken
        by another program."""
        try:
            await _check_free(self._settings.xds_listen)
            server = grpc.aio.server(options=OPTIONS)
            server.add_generic_rpc_handlers((*self._service.handlers(), *self._peers.handlers(recordings)))
            server.add_insecure_port(self._address)
            await server.start()
            try:
                async with self._supervisor.running():
                    await self._serve()
                    yield
            finally:
                await server.stop(0)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self) -> None:
        """Wait until every worker serves, or for long enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_WITHIN):
                while self.away():
                    self._changed.clear()
                    await self._changed.wait()
        if away := self.away():
            log.warning("workers_late", workers=dict(away))


async def _check_free(address: str) -> None:
    """`Unstartable` if someone else listens there: the port is shared, so that it would not fail when it is opened, and
    each would get a part of the proxies."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PORT_WITHIN
    while True:
        try:
            await _bind(address)
        except OSError as error:
            if loop.time() >= deadline:
                raise Unstartable(address_taken("HALDANE_XDS_LISTEN", address, error)) from error
            await asyncio.sleep(PORT_EVERY)
        else:
            return


async def _bind(address: str) -> None:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    for family, kind, protocol, _, where in await loop.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(where)
