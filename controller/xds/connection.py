"""One open stream: reads requests, steps the stream, writes what it says. Where a stream meets time and the network."""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import grpc

from controller.core.base.units import counted
from controller.ports.clock import Clock
from controller.xds.bucket import Bucket
from controller.xds.lanes import Lane, Stream
from controller.xds.limits import Limits
from controller.xds.snapshot import ORDER, Snapshot
from controller.xds.stream import DeltaRequest, Event, Request, Settled, step
from controller.xds.wire import (
    BadRequest,
    Node,
    read_delta_request,
    read_request,
    write_delta_reply,
    write_reply,
)

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]

Context = grpc.aio.ServicerContext[Any, Any]


class Newest(NamedTuple):
    """What a fleet is to be served, and since when (seconds of the monotonic clock)."""

    snapshot: Snapshot
    at: float


class Source(Protocol):
    """Where a connection finds what it serves, and tells who it is."""

    def newest(self, fleet: str) -> Newest | None:
        """What that fleet is to be served; None if there is nothing yet."""
        ...

    def admit(self, connection: "Connection") -> None:
        """The client has said who it is. Raises `BadRequest` if it has too many streams."""
        ...

    def outrun(self, connection: "Connection", seen: int, revision: int) -> None:
        """The client says that it has seen a later revision of this store than we are at."""
        ...

    def acknowledged(self, connection: "Connection", type_url: str, seconds: float) -> None:
        """The client has what was published, or what it asked for, so many seconds ago."""
        ...

    def refused(self, connection: "Connection", type_url: str, error: str, contents: Collection[str]) -> None:
        """The client refused these contents."""
        ...


class Connection:
    """One stream of one client. `implied` is a per-type service's type, "" on an aggregated stream."""

    def __init__(
        self,
        context: Context,
        source: Source,
        *,
        delta: bool,
        implied: str,
        shared: bool,
        limits: Limits,
        clock: Clock,
        identifier: str,
    ) -> None:
        self.node = Node("", "", "")
        self.stream = Stream(delta=delta, aggregated=not implied, shared=shared)
        self.connected_at = clock.wall()
        self.since: dict[str, float] = {}
        """Per type, Unix seconds since when it stands as it does."""
        self._context = context
        self._source = source
        self._delta = delta
        self._implied = implied
        self._limits = limits
        self._clock = clock
        self._identifier = identifier
        self._bucket = Bucket(limits.requests_burst, limits.requests_per_second, clock.monotonic())
        self._due: dict[str, float] = {}
        self._outbox: deque[bytes] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._writing: float | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._ending: BadRequest | None = None

    async def serve(self) -> None:
        """Until the client ends the stream, or `BadRequest` does."""
        self._reader = asyncio.current_task()
        try:
            await self._converse()
        except BadRequest as bad:
            self._ending = bad
        except asyncio.CancelledError:
            if self._ending is None or self._reader is None:
                raise
            self._reader.uncancel()
        finally:
            for timer in (self._settling, self._patience):
                if timer:
                    timer.cancel()
            if self._writer:
                self._writer.cancel()
        if self._ending:
            raise self._ending

    def wake(self) -> None:
        """There may be something to say: say it, and whatever is newest by then."""
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    def end(self, code: grpc.StatusCode, message: str) -> None:
        """End the stream with that status."""
        if self._ending is None and self._reader:
            self._ending = BadRequest(code, message)
            self._reader.cancel()

    async def _converse(self) -> None:
        # Else gRPC fails to send a status while the first response waits for the client to read.
        await self._context.send_initial_metadata(())
        first = await self._first()
        if first is None:
            return
        self._settling = asyncio.get_running_loop().call_later(self._limits.settle, self._settle)
        self._hear(first)
        while (data := await self._context.read()) is not EOF:
            if not self._bucket.take(self._clock.monotonic()):
                raise BadRequest(grpc.StatusCode.RESOURCE_EXHAUSTED, self._too_fast())
            self._hear(self._read(data))

    async def _first(self) -> Request | DeltaRequest | None:
        """The first request, which says who the client is; None if the client said nothing and left."""
        try:
            async with asyncio.timeout(self._limits.first_request):
                data = await self._context.read()
        except TimeoutError:
            text = f"no request within {self._limits.first_request:g} s"
            raise BadRequest(grpc.StatusCode.DEADLINE_EXCEEDED, text) from None
        if data is EOF:
            return None
        request, node = self._parse(data)
        if node is None:
            raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, "missing node: the first request must say node.id")
        self.node = node
        self._source.admit(self)
        return request

    def _read(self, data: bytes) -> Request | DeltaRequest:
        request, node = self._parse(data)
        if node is not None and (node.id, node.fleet) != (self.node.id, self.node.fleet):
            text = f"node {node.id!r} on the stream of {self.node.id!r}: a stream belongs to one node"
            raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, text)
        lane = self.stream.lanes.get(request.type_url)
        if lane is None and len(self.stream.lanes) >= self._limits.types:
            text = f"more than {counted(self._limits.types, 'resource type')} on one stream"
            raise BadRequest(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if lane and isinstance(request, DeltaRequest):
            total = len(lane.subscription.names | frozenset(request.subscribe))
            if total > self._limits.names:
                text = f"{counted(total, 'resource name')} on one stream; at most {self._limits.names}"
                raise BadRequest(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return request

    def _parse(self, data: bytes) -> tuple[Request | DeltaRequest, Node | None]:
        if len(data) > self._limits.message_bytes:
            text = f"a request of {len(data)} bytes; at most {self._limits.message_bytes}"
            raise BadRequest(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return (read_delta_request if self._delta else read_request)(data, self._implied, self._limits)

    def _hear(self, request: Request | DeltaRequest) -> None:
        self._catch_up()
        url = request.type_url
        before, seen = self.stream.lanes.get(url), self.stream.seen
        self._step(request)
        after, snapshot = self.stream.lanes[url], self.stream.snapshot
        if snapshot and seen <= snapshot.revision < self.stream.seen:
            self._source.outrun(self, self.stream.seen, snapshot.revision)
        if before is None or before.subscription != after.subscription:
            self._due[url] = self._clock.monotonic()
        if before and before.pending and before.pending.nonce == request.nonce:
            self._tell(request, before, after)
        if self._outbox:
            self.wake()

    def _tell(self, request: Request | DeltaRequest, before: Lane, after: Lane) -> None:
        """The client has answered a response."""
        url = request.type_url
        self.since[url] = self._clock.wall()
        if url not in ORDER:
            return  # it was told that we have nothing of that type
        if request.error is None:
            self._source.acknowledged(self, url, self._clock.monotonic() - self._due.get(url, 0.0))
        else:
            self._source.refused(self, url, request.error, after.refused - before.refused)

    def _catch_up(self) -> None:
        """Step to the newest snapshot, if the stream is not there yet."""
        newest = self._source.newest(self.node.fleet)
        old = self.stream.snapshot
        if newest is None or newest.snapshot is old:
            return
        for url, lane in self.stream.lanes.items():
            if old is None or old.catalogue(url) is not newest.snapshot.catalogue(url):
                self._due[url] = newest.at
                # Who is behind already is so since then, however often there is news.
                if old is None or lane.error or lane.held is old.catalogue(url).select(lane.subscription):
                    self.since[url] = self._clock.wall()
        self._step(newest.snapshot)

    def _settle(self) -> None:
        self._step(Settled())
        if self._outbox:
            self.wake()

    def _step(self, event: Event) -> None:
        self.stream, replies = step(self.stream, event)
        write = write_delta_reply if self._delta else write_reply
        self._outbox.extend(write(reply, self._identifier) for reply in replies)

    async def _write(self) -> None:
        """Write until there is nothing left to say. One response of each type at most waits here."""
        self._catch_up()
        loop = asyncio.get_running_loop()
        self._writing = loop.time()
        if self._patience is None:
            self._watch(loop, self._writing)
        try:
            while self._outbox:
                await self._context.write(self._outbox.popleft())
        except grpc.aio.BaseError:
            self._outbox.clear()  # the client is gone; gRPC will tell the reader
        finally:
            self._writing = None

    def _watch(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        """Look whether the writing that began then has ended, once it has had its time."""
        self._patience = loop.call_at(since + self._limits.write, self._look, loop, since)

    def _look(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        # One timer for all the writing in that time: to start and cancel one for each response costs more.
        self._patience = None
        if self._writing == since:
            self._lose_patience()
        elif self._writing is not None:
            self._watch(loop, self._writing)

    def _lose_patience(self) -> None:
        text = f"responses found no room within {self._limits.write:g} s: the client reads too slowly"
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    def _too_fast(self) -> str:
        limits = self._limits
        return (
            f"more than {counted(limits.requests_burst, 'request')} at once and {limits.requests_per_second:g} a second"
        )
