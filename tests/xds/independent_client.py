"""A client that shares no code with the server: Envoy's own messages out and in."""

import asyncio
from typing import Any

import grpc
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status

from tests.xds.local_server import LocalServer

API = "type.googleapis.com/envoy.config."
CDS, EDS = API + "cluster.v3.Cluster", API + "endpoint.v3.ClusterLoadAssignment"
LDS, RDS = API + "listener.v3.Listener", API + "route.v3.RouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
TABLE = "127.0.0.1:10000"
KINDS: dict[str, Any] = {CDS: Cluster, EDS: ClusterLoadAssignment, LDS: Listener, RDS: RouteConfiguration}
NODE = Node(id="probe-1", cluster="edge")
PROBE = SECRET + "s"
"""A type that no one serves. Delta answers it at once, with nothing: so whatever was to be said before it was said."""
BOTH = ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("xds-rule 7")
class SotwClient:
    """A state-of-the-world stream. What it `hears` are names, by type, with the version and nonce in `last`."""

    def __init__(self, door: LocalServer, path: str = "envoy.service.discovery.v3.AggregatedDiscoveryService") -> None:
        method = "StreamAggregatedResources" if path.endswith("AggregatedDiscoveryService") else path.rpartition("/")[2]
        self.call: Any = door.channel.stream_stream(f"/{path.partition('/')[0]}/{method}")()
        self.last = DiscoveryResponse()
        self.first = True
        self.reading: asyncio.Future[Any] | None = None

    async def request(
        self, url: str, *names: str, nonce: str = "", version: str = "", error: str | None = None
    ) -> None:
        """A request; `error`, also an empty one, makes it a NACK."""
        node, self.first = (NODE if self.first else None), False
        detail = None if error is None else Status(code=13, message=error)
        await self.call.write(
            bytes(
                DiscoveryRequest(
                    type_url=url,
                    resource_names=list(names),
                    node=node,
                    response_nonce=nonce,
                    version_info=version,
                    error_detail=detail,
                )
            )
        )

    async def receive(self) -> tuple[str, list[str]]:
        """The next response: its type, and what it carries, by name."""
        async with asyncio.timeout(10):
            data = await self._coming()
        self.reading = None
        assert data is not grpc.aio.EOF, await self.call.details()  # type: ignore[attr-defined]
        self.last = DiscoveryResponse.parse(data)
        assert {each.type_url for each in self.last.resources} <= {self.last.type_url}
        return self.last.type_url, sorted(map(name_of, self.last.resources))

    async def ack(self, *names: str) -> None:
        """Accept what was heard last."""
        await self.request(self.last.type_url, *names, nonce=self.last.nonce, version=self.last.version_info)

    async def receives_nothing(self) -> None:
        """Nothing comes for a while; what came later would be heard in the place of what a test expects next."""
        done, _ = await asyncio.wait({self._coming()}, timeout=0.2)
        assert not done

    def _coming(self) -> "asyncio.Future[Any]":
        self.reading = self.reading or asyncio.ensure_future(self.call.read())
        return self.reading


@pytest.mark.proves("xds-rule 29", "xds-rule 47")
class DeltaClient:
    """A Delta stream. `last` is the response heard last."""

    def __init__(self, door: LocalServer, path: str = "envoy.service.discovery.v3.AggregatedDiscoveryService") -> None:
        method = "DeltaAggregatedResources" if path.endswith("AggregatedDiscoveryService") else path.rpartition("/")[2]
        self.call: Any = door.channel.stream_stream(f"/{path.partition('/')[0]}/{method}")()
        self.last = DeltaDiscoveryResponse()
        self.first = True
        self.probes = 0

    async def request(
        self,
        url: str,
        *names: str,
        drop: tuple[str, ...] = (),
        have: dict[str, str] | None = None,
        nonce: str = "",
        error: str | None = None,
    ) -> None:
        """A request; `error`, also an empty one, makes it a NACK."""
        node, self.first = (NODE if self.first else None), False
        detail = None if error is None else Status(code=13, message=error)
        await self.call.write(
            bytes(
                DeltaDiscoveryRequest(
                    type_url=url,
                    node=node,
                    resource_names_subscribe=list(names),
                    resource_names_unsubscribe=list(drop),
                    initial_resource_versions=have or {},
                    response_nonce=nonce,
                    error_detail=detail,
                )
            )
        )

    async def receive(self) -> tuple[str, list[str], list[str]]:
        """The next response: its type, what it carries, what it says is removed."""
        async with asyncio.timeout(10):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, await self.call.details()  # type: ignore[attr-defined]
        self.last = DeltaDiscoveryResponse.parse(data)
        for each in self.last.resources:
            assert each.resource
            assert (each.resource.type_url, name_of(each.resource)) == (self.last.type_url, each.name)
            assert each.version
            assert each.ttl is None
        return self.last.type_url, sorted(r.name for r in self.last.resources), sorted(self.last.removed_resources)

    async def ack(self) -> None:
        """Accept what was heard last."""
        await self.request(self.last.type_url, nonce=self.last.nonce)

    async def receives_nothing(self) -> None:
        """Nothing more was to be said: the next thing heard is the answer to another question."""
        self.probes += 1
        await self.request(PROBE, f"p{self.probes}", nonce=self.last.nonce if self.last.type_url == PROBE else "")
        assert await self.receive() == (PROBE, [], [f"p{self.probes}"])
        await self.ack()


def name_of(packed: Any) -> str:
    """The name of a resource."""
    message = KINDS[packed.type_url].parse(packed.value)
    return str(getattr(message, "cluster_name" if packed.type_url == EDS else "name"))


async def synced_sotw_client(xds: LocalServer) -> SotwClient:
    """A state-of-the-world stream that has everything, as an Envoy asks for it."""
    client = SotwClient(xds)
    for url, names in ((CDS, ()), (EDS, ("fraud/v1", "fraud/v2")), (LDS, ()), (RDS, (TABLE,))):
        await client.request(url, *names)
        assert (await client.receive())[0] == url
        await client.ack(*names)
    return client


async def synced_delta_client(xds: LocalServer) -> tuple[DeltaClient, dict[str, dict[str, str]]]:
    """A Delta stream that has everything, and the versions that it has."""
    client, have = DeltaClient(xds), {}
    for url, names in ((CDS, ()), (EDS, ("fraud/v1", "fraud/v2")), (LDS, ()), (RDS, (TABLE,))):
        await client.request(url, *names)
        assert (await client.receive())[0] == url
        have[url] = {each.name: each.version for each in client.last.resources}
        await client.ack()
    return client, have
