"""Passes this controller's reports on to the one that decides, whoever that is at the moment."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

import grpc
import structlog

from controller.core.model.member import Member
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import EdgeUpdate
from controller.process.backoff import backoff
from controller.process.raw_messages import as_is
from controller.relay.batch_messages import batch_message
from controller.relay.edge_messages import edge_message
from controller.relay.relay_service import SERVICE
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.edge_status import EdgeStatus
from controller.runtime.fleet_reports import FLUSH_EVERY
from controller.runtime.membership import Membership

HEARTBEAT = 1.0
"""Seconds between two messages at most: well below `fleet_reports.CUT_OFF_AFTER`."""
PATIENCE = 5.0
"""Seconds until an answer must have come; then the connection counts as lost."""
LOOK_EVERY = 0.3
"""Seconds between two looks at who decides, while that is not known."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two attempts to connect."""
EDGES_AT_ONCE = 5
"""Updates of proxies in one message: some 500 KB."""
METHOD = f"/{SERVICE}/Report"
OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

log = structlog.get_logger()


class RelayLost(Exception):  # noqa: N818
    """The connection to the one that decides is lost, and why."""


class RelayClient:
    """One stream to the controller that decides, while that is another one.

    `connected` says whether it takes what is reported here. Nothing waits for it: meanwhile the log grows by proxies,
    not by time.
    """

    def __init__(
        self,
        edge: EdgeReports,
        status: EdgeStatus,
        membership: Membership,
        credentials: Callable[[], grpc.ChannelCredentials | None],
    ) -> None:
        """`credentials` are read for each connection; None without TLS."""
        self.connected = False
        self._lost: set[str] = set()
        self._edge = edge
        self._status = status
        self._membership = membership
        self._credentials = credentials

    async def run(self) -> None:
        """Pass on, until cancelled."""
        pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            self._edge.update_splits()
            leader = self._leader()
            if leader is None:
                await asyncio.sleep(LOOK_EVERY)
                if self._membership.known.leading is None:
                    await self._membership.refresh()
                continue
            try:
                await self._pass_on(leader)
                pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
            except RelayLost as lost:
                if self.connected:
                    pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
                self._note_lost(leader, str(lost))
            except Exception:
                log.exception("relay_failed")
            self.connected = False
            await asyncio.sleep(next(pauses))
            await self._membership.refresh()  # perhaps another one decides now

    def _note_lost(self, leader: Member, reason: str) -> None:
        """Log it, once for each reason until there is a connection again."""
        if reason not in self._lost:
            log.warning("relay_lost", controller=leader.name, address=leader.admin, reason=reason)
        self._lost.add(reason)

    def _leader(self) -> Member | None:
        """The one that decides, if it is another one."""
        if self._edge.is_read_here:
            return None
        leading = self._membership.known.leading
        return leading if leading and leading.instance != self._membership.instance else None

    def _successor(self, leader: Member) -> str:
        """Who decides now in place of that one; empty while nobody is known to.

        Its record, or the term, may run out while it goes on (a busy machine renews late): it says itself on the
        stream that it no longer decides, and the stream ends if it has died.
        """
        if self._edge.is_read_here:
            return self._membership.instance
        known = self._membership.known.leader
        return known.instance if known and known.instance != leader.instance else ""

    async def _pass_on(self, leader: Member) -> None:
        """Pass on until another one decides. Raises `RelayLost`."""
        credentials = self._credentials()
        if credentials:
            channel = grpc.aio.secure_channel(leader.admin, credentials, options=OPTIONS)
        else:
            channel = grpc.aio.insecure_channel(leader.admin, options=OPTIONS)
        async with channel:
            call = channel.stream_stream(METHOD, as_is, as_is)(None)
            try:
                await self._converse(call, leader)
            except grpc.aio.AioRpcError as error:
                raise RelayLost(f"{error.code().name}: {error.details()}") from error
            except TimeoutError:
                raise RelayLost("no answer in time") from None
            except asyncio.InvalidStateError:  # it ended while it was written to
                raise RelayLost(f"{(await call.code()).name}: {await call.details()}") from None
            finally:
                call.cancel()

    async def _converse(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]", leader: Member) -> None:
        me, reports = self._membership, self._edge.log
        hello = pb.Hello(instance=me.instance, name=me.name, acknowledged=reports.acknowledged)
        ack = await _exchange(call, pb.Update(hello=hello))
        if self._edge.is_read_here:
            return
        reports.resume(ack.received)
        reports.acknowledge(ack.received, ack.saved)
        self.connected, self._lost = True, set()
        log.info("relay_connected", controller=leader.name, address=leader.admin, received=ack.received)
        loop = asyncio.get_running_loop()
        updates, spoken = self._status.everything(), float("-inf")
        while not self._successor(leader):
            begun = loop.time()
            update = self._next(updates)
            if update.ByteSize() or begun - spoken >= HEARTBEAT:
                spoken = begun
                ack = await _exchange(call, update)
                if self._edge.is_read_here:
                    break
                reports.acknowledge(ack.received, ack.saved)
            if len(update.edges) < EDGES_AT_ONCE:
                updates = self._status.changes()
            if not reports.has_waiting:
                await asyncio.sleep(max(0.0, FLUSH_EVERY - (loop.time() - begun)))
        log.info("relay_ended", controller=leader.name, successor=self._successor(leader))

    def _next(self, updates: Iterator[EdgeUpdate]) -> pb.Update:
        """The batch that is to be sent, and what has changed at the proxies."""
        self._edge.update_splits()
        batch = self._edge.log.next()
        return pb.Update(
            batch=batch_message(batch) if batch else None,
            edges=map(edge_message, islice(updates, EDGES_AT_ONCE)),
        )


async def _exchange(call: "grpc.aio.StreamStreamCall[bytes, bytes]", update: pb.Update) -> pb.Ack:
    """The answer to a message. TimeoutError, `RelayLost` or grpc.aio.AioRpcError without one."""
    async with asyncio.timeout(PATIENCE):
        await call.write(update.SerializeToString())
        answer = await call.read()
    if not isinstance(answer, bytes):
        raise RelayLost(f"{(await call.code()).name}: {await call.details()}")
    return pb.Ack.FromString(answer)
