"""The xDS server: ADS and the per-type services, state of the world and Delta, on grpc.aio with raw bytes."""

from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

import grpc
import structlog

from controller.core.base.units import counted
from controller.core.control.sync import Sync
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.fleet import Nack, ProxyStatus
from controller.ports.proxy_observer import Observer, Silent
from controller.xds import fleet
from controller.xds.connection import Connection, Context, Newest
from controller.xds.csds import csds_handler
from controller.xds.fleet import Watched
from controller.xds.limits import DEFAULT, Limits, server_options
from controller.xds.refusals import Refusals
from controller.xds.snapshot import CDS, EDS, LDS, RDS
from controller.xds.wire import BadRequest
from controller.xds.world import World

log = structlog.get_logger()

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

SERVICES = {
    ADS: ("AggregatedResources", ""),
    "envoy.service.cluster.v3.ClusterDiscoveryService": ("Clusters", CDS),
    "envoy.service.endpoint.v3.EndpointDiscoveryService": ("Endpoints", EDS),
    "envoy.service.listener.v3.ListenerDiscoveryService": ("Listeners", LDS),
    "envoy.service.route.v3.RouteDiscoveryService": ("Routes", RDS),
}
"""gRPC service -> what its methods end with, and the type that it implies."""


def make_grpc_server(limits: Limits, *options: tuple[str, int]) -> grpc.aio.Server:
    """A gRPC server that keeps those of the limits that are gRPC's to keep."""
    return grpc.aio.server(options=[*server_options(limits), *options], maximum_concurrent_rpcs=limits.streams)


class XdsServer:
    """Serves the newest view to every stream, and knows how far each proxy is (`ports.Fleet`)."""

    def __init__(
        self,
        *,
        clock: Clock,
        shared: bool = True,
        limits: Limits = DEFAULT,
        identifier: str = "haldane",
        observer: Observer | None = None,
    ) -> None:
        self._clock = clock
        self._shared = shared
        self._limits = limits
        self._identifier = identifier
        self._observer = observer or Silent()
        self._world = World()
        self._published_at = 0.0
        self._connections: set[Connection] = set()
        self._refusals = Refusals(limits.refusals)
        self._draining = False

    def publish(self, view: View) -> None:
        """Serve that view from now on. An older one, or the empty one of another store, is ignored: nothing goes back.

        A service that cannot be served stays as it was (`problems`).
        """
        told = self._world.problems
        try:
            taken = self._world.turn(view)
        except Exception:  # whatever is wrong with a view, the proxies keep the last one and the process lives
            log.exception("view_not_servable", store=view.store_id, revision=view.revision)
            return
        if not taken:
            log.error("view_ignored", store=view.store_id, revision=view.revision, served=self._world.revision)
            return
        for service, reason in self._world.problems.items():
            if told.get(service) != reason:
                log.error("service_not_servable", service=service, reason=reason)
        self._published_at = self._clock.monotonic()
        for connection in self._connections:
            connection.wake()

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand in the newest view, each with the reason."""
        return self._world.problems

    def newest(self, fleet: str) -> Newest | None:
        """What that fleet is to be served; None before the first view."""
        snapshot = self._world.snapshot(fleet)
        return Newest(snapshot, self._published_at) if snapshot else None

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy."""
        now, confirm = self._clock.wall(), self._limits.confirm
        return fleet.statuses(self._watched(), self._world.running, self._refusals.last, now, confirm)

    def sync(self, service: str, revision: int) -> Sync:
        """How many connected proxies have acknowledged the service's routes; none before that revision is served."""
        found = fleet.sync(self._watched(), service)
        return found if self._world.revision >= revision else Sync(0, found.total, found.nacked)

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """For the xDS port."""
        return tuple(
            grpc.method_handlers_generic_handler(
                service,
                {
                    f"Stream{methods}": self._method(delta=False, implied=implied),
                    f"Delta{methods}": self._method(delta=True, implied=implied),
                },
            )
            for service, (methods, implied) in SERVICES.items()
        )

    def csds_handlers(self) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """For the admin port: how far each proxy is."""
        return (csds_handler(self.proxies),)

    async def drain(self) -> None:
        """End every stream, so that its client goes elsewhere or comes back later; never an empty answer."""
        self._draining = True
        for connection in tuple(self._connections):
            connection.end(grpc.StatusCode.UNAVAILABLE, "draining")

    def admit(self, connection: Connection) -> None:
        """The client of a new stream has said who it is."""
        node = connection.node
        if self._draining:
            raise BadRequest(grpc.StatusCode.UNAVAILABLE, "draining")
        if sum(other.node.id == node.id for other in self._connections) >= self._limits.streams_per_node:
            text = (
                f"{node.id} has {counted(self._limits.streams_per_node, 'stream')}; that is the most one node may have"
            )
            raise BadRequest(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._connections.add(connection)
        self._observer.connected(node.id, node.fleet)

    def outrun(self, connection: Connection, seen: int, revision: int) -> None:
        """The client says that it has seen a later revision of this store than we are at."""
        why = "another controller is ahead" if self._shared else "a copy of the store was put back: it is served"
        log.warning("proxy_has_seen_more", node=connection.node.id, seen=seen, revision=revision, why=why)

    def acknowledged(self, connection: Connection, type_url: str, seconds: float) -> None:
        """A client has what was published so many seconds ago."""
        self._observer.acknowledged(connection.node.id, connection.node.fleet, type_url, seconds)

    def refused(self, connection: Connection, type_url: str, error: str, contents: Collection[str]) -> None:
        """A client refused these contents. What is refused again, on this stream or another, is no news."""
        node = connection.node
        nack = Nack(type_url, self._clock.wall(), error)
        news = self._refusals.take(node.id, node.fleet, nack, contents)
        self._observer.rejected(node.id, node.fleet, type_url, error, news=news)

    def _method(self, *, delta: bool, implied: str) -> "grpc.RpcMethodHandler[Any, Any]":
        serve: Callable[..., Coroutine[Any, Any, None]] = partial(self._serve, delta=delta, implied=implied)

        async def method(_requests: object, context: Context) -> None:
            await serve(context)

        return grpc.stream_stream_rpc_method_handler(method)

    async def _serve(self, context: Context, *, delta: bool, implied: str) -> None:
        connection = Connection(
            context,
            self,
            delta=delta,
            implied=implied,
            shared=self._shared,
            limits=self._limits,
            clock=self._clock,
            identifier=self._identifier,
        )
        try:
            await connection.serve()
        except BadRequest as bad:
            if not self._draining:
                log.warning("stream_refused", node=connection.node.id, peer=context.peer(), reason=bad.message)
            self._forget(connection)
            await context.abort(bad.code, bad.message)  # waits for a client that does not read
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._observer.disconnected(connection.node.id, connection.node.fleet)

    def _watched(self) -> Iterator[Watched]:
        for connection in self._connections:
            snapshot = self._world.snapshot(connection.node.fleet)
            if snapshot:
                yield Watched(connection.node, connection.stream, snapshot, connection.connected_at, connection.since)
