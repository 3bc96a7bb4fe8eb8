"""One open stream: reads requests, steps the stream, writes responses. Here a stream meets time and the network."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from controller.core.access.proxy_gate import OPEN, ProxyGate
from controller.core.base.errors import Code, Refusal
from controller.core.base.units import counted
from controller.ports.clock import Clock
from controller.process.backoff import backoff
from controller.process.right_of_way import RightOfWay
from controller.xds.limits import Limits
from controller.xds.protocol.discovery import (
    NEWEST,
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    Event,
    Retry,
    SettleTimeout,
)
from controller.xds.protocol.nack_reasons import is_about_loggers
from controller.xds.protocol.node import Node
from controller.xds.protocol.nonces import Nonces
from controller.xds.protocol.stream_state import StreamState, TypeState
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import LDS, PUSH_ORDER
from controller.xds.shared_steps import SharedSteps
from controller.xds.stream_error import StreamError
from controller.xds.token_bucket import TokenBucket
from controller.xds.wire import nonce_field, parse_delta_request, parse_request

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]

Context = grpc.aio.ServicerContext[Any, Any]

CODES = {Code.DENIED: grpc.StatusCode.PERMISSION_DENIED, Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED}
"""The statuses of what the gate refuses."""


MAX_REQUESTS = 1024
"""Requests that are remembered, in each of two generations."""

MAX_REQUEST_BYTES = 512
"""Of a request that is remembered: ACKs are short. Both generations together are some 3 MB at most."""


class StreamCallbacks(Protocol):
    """What a connection needs of its server: the newest snapshot, and what to call for the client's requests."""

    @property
    def published_at(self) -> float:
        """When the newest view was published, in seconds of the monotonic clock."""
        ...

    def published(self, fleet: str, *, counting: bool) -> Snapshot | None:
        """What that fleet is to be served; None before the first view.

        `counting`: for proxies that can count how responses end.
        """
        ...

    def on_open(self, connection: "Connection") -> None:
        """The client has identified itself. Raises `StreamError` if it has too many streams."""
        ...

    def on_step(self, connection: "Connection") -> None:
        """The stream's state has perhaps changed."""
        ...

    def on_newer_revision(self, connection: "Connection", seen: int, revision: int) -> None:
        """The client has seen a later revision of this store than this controller."""
        ...

    def on_ack(self, connection: "Connection", type_url: str, seconds: float) -> None:
        """The client ACKed what was published, or what it requested, `seconds` ago."""
        ...

    def on_loggers_refused(self, connection: "Connection", error_detail: str) -> None:
        """The client NACKed listeners for their loggers: it gets them without."""
        ...

    def on_nack(self, connection: "Connection", type_url: str, error_detail: str, contents: Collection[str]) -> None:
        """The client NACKed these content hashes."""
        ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What all streams of one method have in common. `implied` is a per-type service's type, "" for ADS."""

    first: StreamState
    """The state in which each begins."""
    implied: str
    limits: Limits
    clock: Clock
    steps: SharedSteps
    right_of_way: RightOfWay
    gate: ProxyGate = OPEN
    requests: RecentCache = field(default_factory=lambda: RecentCache(MAX_REQUESTS))
    """What was parsed of the short requests that came last, by their bytes: the ACKs of equal streams are equal."""


class Connection:
    """One stream of one client."""

    def __init__(self, context: Context, callbacks: StreamCallbacks, options: StreamOptions) -> None:
        limits, clock = options.limits, options.clock
        self.node = Node("", "", "")
        self.peer: str = context.peer()
        """The address at the other end: the same for all streams of one connection."""
        self.stream = options.first
        self.counts_endings = False
        """Whether its listeners have the loggers that count how responses end."""
        self.identity: str | None = None
        """What the client proved to be; None where nothing is proved."""
        self.connected_at = clock.wall()
        self.since: dict[str, float] = {}
        """Type URL -> Unix seconds since when the type's state is what it is."""
        self._context = context
        self._callbacks = callbacks
        self._options = options
        self._limits = limits
        self._clock = clock
        self._request_rate = TokenBucket(limits.requests_burst, limits.requests_per_second, clock.monotonic())
        self._changed_at: dict[str, float] = {}
        """Type URL -> monotonic seconds of the change that the next ACK confirms."""
        self._nonces = Nonces()
        self._outbox: list[bytes] = []
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._settle_timer: asyncio.TimerHandle | None = None
        self._retry_pauses: dict[str, Iterator[float]] = {}
        """By type URL: how long to wait before what the proxy's environment did not allow is sent again."""
        self._retry_timers: dict[str, asyncio.TimerHandle] = {}
        self._writing_since: float | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._error: StreamError | None = None

    async def serve(self) -> None:
        """Serve until the client ends the stream. Raises `StreamError` if the server ends it."""
        self._reader = asyncio.current_task()
        try:
            await self._read_requests()
        except StreamError as error:
            self._error = error
        except asyncio.CancelledError:
            if self._error is None or self._reader is None:
                raise
            self._reader.uncancel()
        finally:
            for timer in (self._settle_timer, self._write_timer, *self._retry_timers.values()):
                if timer:
                    timer.cancel()
            if self._writer:
                self._writer.cancel()
        if self._error:
            raise self._error

    def wake(self) -> None:
        """Write what is in the outbox, and whatever the newest snapshot adds to it."""
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_responses())

    def retry(self, retry: Retry) -> None:
        """Send once more what the client NACKed."""
        self._step(retry)
        if self._outbox:
            self.wake()

    def end(self, code: grpc.StatusCode, message: str) -> None:
        """End the stream with that status."""
        if self._error is None and self._reader:
            self._error = StreamError(code, message)
            self._reader.cancel()

    async def _read_requests(self) -> None:
        # Else gRPC fails to send a status while the first response waits for the client to read.
        await self._context.send_initial_metadata(())
        first = await self._first_request()
        if first is None:
            return
        self._settle_timer = asyncio.get_running_loop().call_later(self._limits.settle, self._on_settle_timeout)
        self._on_request(first)
        while (data := await self._read()) is not EOF:
            if not self._request_rate.take(self._clock.monotonic()):
                raise StreamError(grpc.StatusCode.RESOURCE_EXHAUSTED, self._too_many_requests())
            self._on_request(self._checked(data))

    async def _first_request(self) -> DiscoveryRequest | DeltaDiscoveryRequest | None:
        """The first request, which identifies the client; None if the client left without one."""
        try:
            async with asyncio.timeout(self._limits.first_request):
                data = await self._read()
        except TimeoutError:
            text = f"no request within {self._limits.first_request:g} s"
            raise StreamError(grpc.StatusCode.DEADLINE_EXCEEDED, text) from None
        if data is EOF:
            return None
        request, node = self._parse(data)
        if node is None:
            raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, "missing node: the first request must say node.id")
        self.node = node
        self.counts_endings = node.has_stats_logger
        try:
            self.identity = self._options.gate.admit(self._context.auth_context(), node.fleet)
        except Refusal as refusal:
            raise StreamError(CODES[refusal.code], refusal.message) from None
        self._callbacks.on_open(self)
        return request

    async def _read(self) -> Any:
        """The client's next message, or EOF, once nothing more urgent is under way."""
        data = await self._context.read()
        if self._options.right_of_way.claimed:
            await self._options.right_of_way.turn()
        return data

    def _checked(self, data: bytes) -> DiscoveryRequest | DeltaDiscoveryRequest:
        """A later request. Raises `StreamError` if it is of another node or beyond a limit."""
        request, node = self._parse(data)
        if node is not None and (node.id, node.fleet) != (self.node.id, self.node.fleet):
            text = f"node {node.id!r} on the stream of {self.node.id!r}: a stream belongs to one node"
            raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, text)
        state = self.stream.types.get(request.type_url)
        if state is None and len(self.stream.types) >= self._limits.types:
            text = f"more than {counted(self._limits.types, 'resource type')} on one stream"
            raise StreamError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if state and isinstance(request, DeltaDiscoveryRequest):
            total = len(state.subscription.names | frozenset(request.subscribe))
            if total > self._limits.names:
                text = f"{counted(total, 'resource name')} on one stream; at most {self._limits.names}"
                raise StreamError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return request

    def _parse(self, data: bytes) -> tuple[DiscoveryRequest | DeltaDiscoveryRequest, Node | None]:
        if len(data) <= MAX_REQUEST_BYTES:
            return self._options.requests.get(data, self._parse_new, data)
        return self._parse_new(data)

    def _parse_new(self, data: bytes) -> tuple[DiscoveryRequest | DeltaDiscoveryRequest, Node | None]:
        if len(data) > self._limits.message_bytes:
            text = f"a request of {len(data)} bytes; at most {self._limits.message_bytes}"
            raise StreamError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        parse = parse_delta_request if self.stream.delta else parse_request
        return parse(data, self._options.implied, self._limits)

    def _on_request(self, request: DiscoveryRequest | DeltaDiscoveryRequest) -> None:
        self._step_to_newest_snapshot()
        request = self._nonces.resolve(request)
        url = request.type_url
        before, seen = self.stream.types.get(url), self.stream.seen_revision
        self._step(request)
        after, snapshot = self.stream.types[url], self.stream.snapshot
        if snapshot and seen <= snapshot.revision < self.stream.seen_revision:
            self._callbacks.on_newer_revision(self, self.stream.seen_revision, snapshot.revision)
        if before is None or before.subscription != after.subscription:
            self._changed_at[url] = self._clock.monotonic()
        if before and before.pending and request.response_nonce == NEWEST:
            self._on_ack_or_nack(request, before, after)
        if self._outbox:
            self.wake()

    def _on_ack_or_nack(
        self, request: DiscoveryRequest | DeltaDiscoveryRequest, before: TypeState, after: TypeState
    ) -> None:
        url = request.type_url
        self.since[url] = self._clock.wall()
        if url not in PUSH_ORDER:
            return  # the response said that this type is not served
        if request.error_detail is None:
            self._callbacks.on_ack(self, url, self._clock.monotonic() - self._changed_at.get(url, 0.0))
        else:
            self._callbacks.on_nack(self, url, after.error_detail, after.nacked - before.nacked)
            if url == LDS and self.counts_endings and is_about_loggers(request.error_detail):
                # The listener matters more than what it counts.
                self.counts_endings = False
                self._callbacks.on_loggers_refused(self, request.error_detail)
                self._step_to_newest_snapshot()
        self._schedule_retry(url, self.stream.types[url])

    def _schedule_retry(self, url: str, state: TypeState) -> None:
        """Try again, after a pause that grows, what the client may accept without a change of it."""
        if not state.retryable:
            if not state.nacked:
                self._retry_pauses.pop(url, None)
        elif url not in self._retry_timers:
            pauses = self._retry_pauses.setdefault(url, backoff(self._limits.first_retry, self._limits.last_retry))
            loop = asyncio.get_running_loop()
            self._retry_timers[url] = loop.call_later(next(pauses), self._on_retry_timer, url)

    def _on_retry_timer(self, url: str) -> None:
        del self._retry_timers[url]
        self.retry(Retry(self.stream.types[url].retryable))

    def _step_to_newest_snapshot(self) -> None:
        """Step to the newest snapshot, if the stream is not there yet."""
        newest = self._callbacks.published(self.node.fleet, counting=self.counts_endings)
        old = self.stream.snapshot
        if newest is None or newest is old:
            return
        for url, state in self.stream.types.items():
            if old is None or old.catalogue(url) is not newest.catalogue(url):
                self._changed_at[url] = self._callbacks.published_at
                # A client that is behind already keeps its time, however many snapshots follow.
                if old is None or state.error_detail or state.accepted is old.catalogue(url).select(state.subscription):
                    self.since[url] = self._clock.wall()
        self._step(newest)

    def _on_settle_timeout(self) -> None:
        self._step(SettleTimeout())
        if self._outbox:
            self.wake()

    def _step(self, event: Event) -> None:
        step = self._options.steps.step(self.stream, event)
        self.stream = step.stream
        self._callbacks.on_step(self)
        for response, body in zip(step.responses, step.bodies, strict=True):
            self._outbox.append(body + nonce_field(self._nonces.next(response.type_url)))

    async def _write_responses(self) -> None:
        """Write until the outbox is empty. It holds at most one response of each type."""
        self._step_to_newest_snapshot()
        loop = asyncio.get_running_loop()
        self._writing_since = loop.time()
        if self._write_timer is None:
            self._start_write_timer(loop, self._writing_since)
        try:
            while self._outbox:
                await self._context.write(self._outbox.pop(0))
        except grpc.aio.BaseError:
            self._outbox.clear()  # the client is gone: gRPC ends the reader
        finally:
            self._writing_since = self._writer = None

    def _start_write_timer(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        """Check that the write which began at `since` has ended once its time (`Limits.write`) is over."""
        self._write_timer = loop.call_at(since + self._limits.write, self._check_write, loop, since)

    def _check_write(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        # One timer for all writes in that time: starting and cancelling one for each response costs more.
        self._write_timer = None
        if self._writing_since == since:
            self._on_write_timeout()
        elif self._writing_since is not None:
            self._start_write_timer(loop, self._writing_since)

    def _on_write_timeout(self) -> None:
        text = f"responses found no room within {self._limits.write:g} s: the client reads too slowly"
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    def _too_many_requests(self) -> str:
        limits = self._limits
        return (
            f"more than {counted(limits.requests_burst, 'request')} at once and {limits.requests_per_second:g} a second"
        )
