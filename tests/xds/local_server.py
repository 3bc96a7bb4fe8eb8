"""The xDS server on a real port, and clients that speak bytes to it. Responses are read by envoy-data-plane."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryResponse, DiscoveryResponse

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.process.clock import SystemClock
from controller.xds.limits import DEFAULT, Limits
from controller.xds.server import XdsServer, make_grpc_server

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


@dataclass
class RecordingObserver:
    """An observer that remembers."""

    events: list[tuple[Any, ...]] = field(default_factory=list)

    def on_ack(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy ACKed."""
        assert seconds >= 0
        self.events.append(("ack", node, fleet, type_url))

    def on_nack(self, node: str, fleet: str, type_url: str, error: str, *, is_new: bool) -> None:
        """A proxy NACKed."""
        self.events.append(("nack", node, fleet, type_url, error, is_new))

    def on_connect(self, node: str, fleet: str) -> None:
        """A proxy opened a stream."""
        self.events.append(("connect", node, fleet))

    def on_disconnect(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        self.events.append(("disconnect", node, fleet))


@dataclass
class LocalServer:
    """A server on a port of its own."""

    xds: XdsServer
    address: str
    observer: RecordingObserver
    channel: grpc.aio.Channel

    def open(self, method: str = "StreamAggregatedResources", service: str = ADS) -> "RawClient":
        """A stream of raw bytes."""
        return RawClient(self.channel.stream_stream(service + method)())


class RawClient:
    """One stream from the client's side."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def send(self, **fields: Any) -> None:
        """A DiscoveryRequest; `node` may be just an id."""
        await self.call.write(request(**fields))

    async def send_delta(self, **fields: Any) -> None:
        """A DeltaDiscoveryRequest."""
        await self.call.write(delta_request(**fields))

    async def read(self, within: float = 5.0) -> DiscoveryResponse:
        """The next response."""
        async with asyncio.timeout(within):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, f"{await self.call.code()}: {await self.call.details()}"  # type: ignore[attr-defined]
        return DiscoveryResponse.parse(data)

    async def read_delta(self, within: float = 5.0) -> DeltaDiscoveryResponse:
        """The next response of a Delta stream."""
        async with asyncio.timeout(within):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, f"{await self.call.code()}: {await self.call.details()}"  # type: ignore[attr-defined]
        return DeltaDiscoveryResponse.parse(data)

    async def end(self, within: float = 5.0) -> tuple[grpc.StatusCode, str]:
        """How the server ended the stream."""
        async with asyncio.timeout(within):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
                    pass
            return await self.call.code(), await self.call.details()

    async def accept(self, response: DiscoveryResponse, *names: str) -> None:
        """Acknowledge."""
        await self.send(
            type_url=response.type_url, resource_names=names, version_info=response.version_info, nonce=response.nonce
        )


def request(*, node: Any = None, nonce: str = "", error: str | None = None, **fields: Any) -> bytes:
    """A DiscoveryRequest's bytes."""
    message = pb.DiscoveryRequest(response_nonce=nonce, **fields)
    _fill(message, node, error)
    return message.SerializeToString()


def delta_request(*, node: Any = None, nonce: str = "", error: str | None = None, **fields: Any) -> bytes:
    """A DeltaDiscoveryRequest's bytes."""
    message = pb.DeltaDiscoveryRequest(response_nonce=nonce, **fields)
    _fill(message, node, error)
    return message.SerializeToString()


def _fill(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest, node: Any, error: str | None) -> None:
    if node is not None:
        message.node.CopyFrom(pb.Node(id=node, cluster="edge") if isinstance(node, str) else node)
    if error is not None:
        message.error_detail.message = error


@contextlib.asynccontextmanager
async def local_server(limits: Limits = DEFAULT) -> AsyncIterator[LocalServer]:
    """A server and a channel to it."""
    observer = RecordingObserver()
    xds = XdsServer(
        clock=SystemClock(),
        limits=limits,
        identifier="haldane/test",
        observer=observer,
    )
    server = make_grpc_server(limits)
    server.add_generic_rpc_handlers((*xds.handlers(), *xds.csds_handlers()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield LocalServer(xds, f"127.0.0.1:{port}", observer, channel)
    finally:
        await server.stop(0)
