"""The xDS server: ADS and the per-type services, state of the world and Delta, on grpc.aio with raw bytes."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import grpc
import structlog

from controller.core.access.proxy_gate import OPEN, ProxyGate
from controller.core.base.units import counted
from controller.core.control.sync import Sync
from controller.core.model.view import View, retreats
from controller.core.routing.own_addresses import OwnAddress
from controller.core.routing.routing import SourcedVersions
from controller.ports.clock import Clock
from controller.ports.fleet import Nack, ProxyStatus, ReportsPaced, Retried, UnseenController
from controller.ports.proxy_observer import NullObserver, ProxyObserver
from controller.ports.report_admission import Admission, NotCounted, Reporter, StrangerStatus
from controller.process.right_of_way import RightOfWay
from controller.runtime.report_totals import ReportTotals
from controller.runtime.stranger_log import StrangerLog
from controller.xds.connection import Connection, Context, StreamOptions
from controller.xds.csds import csds_handler
from controller.xds.fan_out import FanOut
from controller.xds.limits import DEFAULT, Limits, server_options
from controller.xds.protocol.confirmed_clusters import confirmed_clusters
from controller.xds.protocol.discovery import Retry
from controller.xds.protocol.nack_log import NackLog
from controller.xds.protocol.nacked_contents import is_removal_nacked, nacked_contents
from controller.xds.protocol.observed_stream import ObservedStream, serves_blind_listeners
from controller.xds.protocol.proxy_status import ProxyStatuses
from controller.xds.protocol.stream_state import StreamState
from controller.xds.protocol.sync_counts import SyncCounts
from controller.xds.resources.access_logs import STATS_LOGGER
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import NO_SOURCES, SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.shared_steps import SharedSteps
from controller.xds.stream_error import StreamError

log = structlog.get_logger()

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

SERVICES = {
    ADS: ("AggregatedResources", ""),
    "envoy.service.cluster.v3.ClusterDiscoveryService": ("Clusters", CDS),
    "envoy.service.endpoint.v3.EndpointDiscoveryService": ("Endpoints", EDS),
    "envoy.service.listener.v3.ListenerDiscoveryService": ("Listeners", LDS),
    "envoy.service.route.v3.RouteDiscoveryService": ("Routes", RDS),
}
"""gRPC service -> how the names of its methods end, and the type that it implies."""

NO_STREAM = Admission(reason=NotCounted.NO_XDS_STREAM)
EXCLUDED = Admission(reason=NotCounted.EXCLUDED)
OTHER_CONNECTION = Admission(reason=NotCounted.OTHER_CONNECTION)


def make_grpc_server(limits: Limits, *options: tuple[str, int]) -> grpc.aio.Server:
    """A gRPC server with those of the limits that gRPC itself enforces. Of two options of one name the first counts, so
    the `options` go before."""
    return grpc.aio.server(options=[*options, *server_options(limits)], maximum_concurrent_rpcs=limits.streams)


MAX_ADMISSIONS = 1024
"""States of streams whose admission is remembered."""


class _SharedAdmission:
    """What counts of the reports of a client whose stream is in that state."""

    def __init__(self, state: StreamState) -> None:
        self._state = state  # as long as it is there, no other state gets its id
        self.admission = Admission(confirmed_clusters(state))


def _is_same_client(connection: Connection, reporter: Reporter) -> bool:
    if reporter.identity is not None or connection.identity is not None:
        return reporter.identity == connection.identity
    return connection.peer == reporter.peer


class XdsServer:
    """Serves the newest view to every stream, and knows how far each proxy is (`ports.Fleet`) and whose reports count
    (`ports.ReportAdmission`)."""

    def __init__(
        self,
        *,
        clock: Clock,
        shared: bool = True,
        limits: Limits = DEFAULT,
        identifier: str = "haldane",
        observer: ProxyObserver | None = None,
        own: Collection[OwnAddress] = (),
    ) -> None:
        """`shared`: whether other controllers serve the same store. `identifier` names this one in every response;
        `own` are the addresses where it listens."""
        self._clock = clock
        self._shared = shared
        self._limits = limits
        self._observer = observer or NullObserver()
        self.stranger_log = StrangerLog(clock)
        """Whose reports do not count."""
        self.report_totals = ReportTotals(clock)
        """What the proxies have reported."""
        self._snapshots = SnapshotCache(own)
        self._steps = SharedSteps(identifier)
        self._view = View("", 0, {})
        self._published_at = 0.0
        self._excluded: Mapping[str, str] = {}
        """Node id -> why it is excluded."""
        self._connections: set[Connection] = set()
        self._streams_of: dict[tuple[str, str], set[Connection]] = {}
        """Node id and fleet -> its open streams."""
        self._admissions = RecentCache(MAX_ADMISSIONS)
        self._sync = SyncCounts()
        self.right_of_way = RightOfWay()
        """Claimed while a rollback is pushed."""
        self._fan_out = FanOut(self.right_of_way)
        self._nacks = NackLog(limits.refusals)
        self._statuses = ProxyStatuses(limits.confirm)
        self._draining = False

    def publish(self, view: View, sourced: Mapping[str, SourcedVersions] = NO_SOURCES) -> None:
        """Serve that view from now on. An older one, or the empty one of another store, is ignored: nothing goes back.

        A service that cannot be served stays as it was (`problems`). `sourced` has, by service, the endpoints of the
        versions whose sources have been read; the same view with other endpoints is served as well.
        """
        known = self._snapshots.problems
        try:
            accepted = self._snapshots.update(view, sourced)
        except Exception:  # whatever is wrong with a view, the proxies keep the last one and the process lives
            log.exception("view_not_servable", store=view.store_id, revision=view.revision)
            return
        if not accepted:
            log.error("view_ignored", store=view.store_id, revision=view.revision, served=self._snapshots.revision)
            return
        for service, reason in self._snapshots.problems.items():
            if known.get(service) != reason:
                log.error("service_not_servable", service=service, reason=reason)
        self.report_totals.on_view(view)
        self._excluded = {each.node: each.reason for each in view.exclusions}
        self._published_at = self._clock.monotonic()
        self._steps.evict_unused()
        self._admissions.evict_unused()
        self._fan_out.start(self._connections, urgent=retreats(self._view, view))
        self._view = view

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand in the newest view, each with the reason."""
        return self._snapshots.problems

    @property
    def published_at(self) -> float:
        """When the newest view was published, in seconds of the monotonic clock."""
        return self._published_at

    @property
    def paced(self) -> ReportsPaced | None:
        """What the reports' intake asks for while it cannot take in all of them."""
        return self.report_totals.paced

    def published(self, fleet: str, *, counting: bool = False) -> Snapshot | None:
        """What that fleet's proxies are to be served, those that can count how responses end or the others.

        None before the first view.
        """
        return self._snapshots.snapshot(fleet, counting=counting)

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy."""
        now = self._clock.wall()
        proxies = self._statuses.of(self._observed(), self._snapshots.running, self._nacks.last, now)
        return tuple(map(self._with_reports, proxies))

    @property
    def connected(self) -> int:
        """How many proxies are connected: known at once, unlike how far each of them is."""
        return len(self._streams_of)

    def is_connected(self, node: str, fleet: str) -> bool:
        """Whether that node of that fleet has a stream here."""
        return (node, fleet) in self._streams_of

    def strangers(self) -> tuple[StrangerStatus, ...]:
        """The programs that report, and are no proxies."""
        return self.stranger_log.statuses()

    @property
    def judged(self) -> None:
        """It knows its own proxies."""

    async def refresh(self) -> None:
        """What is known of them is new."""

    def unseen(self) -> tuple[UnseenController, ...]:
        """No other controller."""
        return ()

    async def retry_everywhere(self, service: str, who: str) -> Retried:
        """Send its own proxies once more what they NACKed."""
        return Retried(self.retry(service))

    def retry(self, service: str) -> tuple[str, ...]:
        """Send once more what proxies NACKed of that service, or of all if it is empty: the nodes that NACKed any."""
        nodes = set()
        for connection in tuple(self._connections):
            contents = nacked_contents(connection.stream, service)
            if contents or any(map(is_removal_nacked, connection.stream.types.values())):
                connection.retry(Retry(contents, removals=True))
                nodes.add(connection.node.id)
        return tuple(sorted(nodes))

    def sync(self, service: str, revision: int) -> Sync:
        """How many connected proxies have ACKed the service's routes; none before that revision is served."""
        fleets = self._snapshots.fleets_of(service) or self._sync.fleets
        snapshots = {name: snapshot for name in fleets if (snapshot := self._snapshots.snapshot(name))}
        sync = self._sync.sync(service, snapshots, frozenset(self._excluded))
        if differing := self.report_totals.differing(service):
            sync = replace(sync, differing=differing)
        return sync if self._snapshots.revision >= revision else sync.outdated()

    def admission(self, reporter: Reporter) -> Admission:
        """What counts of the reports of this reporter: of the clusters that it has ACKed on the same connection.

        Whoever can claim a node's id cannot share its connection. Where identities are proved, they are compared.
        """
        if reporter.node in self._excluded:
            return EXCLUDED
        streams = self._streams_of.get((reporter.node, reporter.fleet))
        if not streams:
            return NO_STREAM
        own = [each for each in streams if _is_same_client(each, reporter)]
        if not own:
            return OTHER_CONNECTION
        if len(own) == 1:
            return self._admission_of(own[0])
        return Admission(frozenset().union(*(self._admission_of(each).clusters for each in own)))

    def handlers(self, gate: ProxyGate = OPEN) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """For the xDS port. `gate` says who may open which streams there."""
        return tuple(
            grpc.method_handlers_generic_handler(
                service,
                {
                    f"Stream{methods}": self._method(gate, delta=False, implied=implied),
                    f"Delta{methods}": self._method(gate, delta=True, implied=implied),
                },
            )
            for service, (methods, implied) in SERVICES.items()
        )

    def csds_handlers(self) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """For the admin port: how far each proxy is."""
        return (csds_handler(self.proxies),)

    async def drain(self) -> None:
        """End every stream, so that its client goes elsewhere or comes back later; never an empty response."""
        self._draining = True
        for connection in tuple(self._connections):
            connection.end(grpc.StatusCode.UNAVAILABLE, "draining")

    def on_open(self, connection: Connection) -> None:
        """The client of a new stream has identified itself. Raises `StreamError` if it has too many streams."""
        node = connection.node
        if self._draining:
            raise StreamError(grpc.StatusCode.UNAVAILABLE, "draining")
        streams = self._streams_of.get((node.id, node.fleet), ())
        if owner := next((each.identity for each in streams if each.identity != connection.identity), None):
            text = f"node {node.id} is {owner}'s while its stream is open, and this is {connection.identity}"
            raise StreamError(grpc.StatusCode.PERMISSION_DENIED, text)
        if sum(each.peer == connection.peer for each in streams) >= self._limits.streams_per_node:
            most = counted(self._limits.streams_per_node, "stream")
            text = f"{node.id} has {most} on this connection; that is the most one node may have"
            raise StreamError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if node.client.startswith("envoy") and not node.has_stats_logger:
            log.warning("endings_not_counted", node=node.id, client=node.client, reason=f"it lacks {STATS_LOGGER}")
        self._connections.add(connection)
        self._streams_of.setdefault((node.id, node.fleet), set()).add(connection)
        self._observer.on_connect(node.id, node.fleet)

    def on_step(self, connection: Connection) -> None:
        """A stream's state has perhaps changed: count it where it is now."""
        if connection in self._connections:
            types = connection.stream.types
            is_blind = serves_blind_listeners(types.get(LDS), counts_endings=connection.counts_endings)
            self._sync.update(connection, connection.node, types.get(RDS), is_blind=is_blind)

    def on_newer_revision(self, connection: Connection, seen: int, revision: int) -> None:
        """The client has seen a later revision of this store than this controller."""
        why = "another controller is ahead" if self._shared else "a copy of the store was put back: it is served"
        log.warning("proxy_has_seen_more", node=connection.node.id, seen=seen, revision=revision, why=why)

    def on_ack(self, connection: Connection, type_url: str, seconds: float) -> None:
        """A client ACKed what was published `seconds` ago."""
        self._observer.on_ack(connection.node.id, connection.node.fleet, type_url, seconds)

    def on_loggers_refused(self, connection: Connection, error_detail: str) -> None:
        """A client NACKed listeners for their loggers: it gets them without."""
        node = connection.node
        log.warning("endings_not_counted", node=node.id, client=node.client, reason=error_detail)

    def on_nack(self, connection: Connection, type_url: str, error_detail: str, contents: Collection[str]) -> None:
        """A client NACKed these content hashes. A NACK of the same content, on this stream or another, is not new."""
        node = connection.node
        nack = Nack(type_url, self._clock.wall(), error_detail)
        is_new = self._nacks.record(node.id, node.fleet, nack, contents)
        self._observer.on_nack(node.id, node.fleet, type_url, error_detail, is_new=is_new)

    def _method(self, gate: ProxyGate, *, delta: bool, implied: str) -> "grpc.RpcMethodHandler[Any, Any]":
        length, shared = self._limits.error_length, self._shared
        first = StreamState(delta=delta, aggregated=not implied, shared=shared, error_length=length)
        options = StreamOptions(first, implied, self._limits, self._clock, self._steps, self.right_of_way, gate)

        async def method(_requests: object, context: Context) -> None:
            await self._serve(Connection(context, self, options), context)

        return grpc.stream_stream_rpc_method_handler(method)

    async def _serve(self, connection: Connection, context: Context) -> None:
        try:
            await connection.serve()
        except StreamError as error:
            if not self._draining:
                log.warning("stream_refused", node=connection.node.id, peer=context.peer(), reason=error.message)
            self._forget(connection)
            await context.abort(error.code, error.message)  # waits for a client that does not read
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._sync.remove(connection)
            self._fan_out.forget(connection)
            node = connection.node
            self._streams_of[node.id, node.fleet].remove(connection)
            if not self._streams_of[node.id, node.fleet]:
                del self._streams_of[node.id, node.fleet]
                self.report_totals.forget(node.id, node.fleet)
            self._observer.on_disconnect(node.id, node.fleet)

    def _admission_of(self, connection: Connection) -> Admission:
        """Streams share their states, so it is found once for all that are in the same."""
        state = connection.stream
        return self._admissions.get(id(state), _SharedAdmission, state).admission

    def _with_reports(self, proxy: ProxyStatus) -> ProxyStatus:
        """With what it has reported, and whether that counts: nothing waits for an excluded proxy."""
        requests, failed = self.report_totals.of(proxy.node, proxy.fleet)
        reason = self._excluded.get(proxy.node, "")
        waits = () if reason else proxy.waits
        return replace(proxy, requests=requests, failed=failed, excluded=reason, waits=waits)

    def _observed(self) -> Iterator[ObservedStream]:
        for connection in self._connections:
            snapshot = self._snapshots.snapshot(connection.node.fleet, counting=connection.counts_endings)
            if snapshot:
                yield ObservedStream(
                    connection.node,
                    connection.stream,
                    snapshot,
                    connection.connected_at,
                    connection.since,
                    connection.counts_endings,
                )
