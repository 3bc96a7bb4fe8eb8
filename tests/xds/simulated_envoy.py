"""Envoy, as far as xDS goes, without Envoy: a client that obeys the protocol, warms its clusters and can NACK.

It is joined to a stream by two queues, so that a test decides in which order what travels arrives.
"""

from collections import deque
from dataclasses import dataclass, field

import pytest

from controller.core.model.cluster_names import Role
from controller.xds.protocol.discovery import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    Event,
    Retry,
    SettleTimeout,
)
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.resource import Resource
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import CDS, EDS, LDS, PUSH_ORDER, RDS
from tests.xds.numbered_stream import NumberedStream, SentResponse

NACK, NACK_BY_NAME = "nack", "nack-by-name"
"""Two ways to NACK a response: without naming a resource, and by naming the newest one."""

BY_NAME = "/v4"
"""In these tests the version v4 has host names for endpoints, so its clusters do not wait for EDS."""


def waits(cluster: str) -> bool:
    """Whether the cluster needs endpoints by EDS. Those of shielded canaries have none: they are made of two others."""
    return not cluster.endswith((BY_NAME, f"/{Role.SHIELDED}"))


@dataclass
class SimulatedEnvoy:
    """What the client has. `routes` may name clusters; `fault` says so when one of them is not there."""

    delta: bool
    clusters: dict[str, Resource] = field(default_factory=dict)
    warming: set[str] = field(default_factory=set)
    endpoints: dict[str, Resource] = field(default_factory=dict)
    listeners: dict[str, Resource] = field(default_factory=dict)
    routes: dict[str, Resource] = field(default_factory=dict)
    nacked: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)

    def resources_of(self, type_url: str) -> dict[str, Resource]:
        """What it has of that type."""
        return {CDS: self.clusters, EDS: self.endpoints, LDS: self.listeners, RDS: self.routes}[type_url]

    @pytest.mark.proves("promise 2")
    def fault(self) -> str:
        """Which live route would answer 503: one to a cluster that is not there, or has no endpoints."""
        for name in self.listeners:
            for cluster in self.routes[name].clusters if name in self.routes else ():
                if cluster not in self.clusters:
                    return f"{name} routes to {cluster}, which is not there"
                if waits(cluster) and cluster not in self.endpoints:
                    return f"{name} routes to {cluster}, which has no endpoints"
        return ""


@pytest.mark.proves("promise 12", "promise 13")
class SimulatedStream:
    """A proxy and its stream, and what is under way between them. Every response is checked against the protocol."""

    def __init__(self, proxy: SimulatedEnvoy, snapshot: Snapshot, *, lazy: bool = False, shared: bool = True) -> None:
        self.proxy = proxy
        self._lazy = lazy
        self._stream = NumberedStream(delta=proxy.delta, shared=shared)
        self._stream.step(snapshot)
        self.to_server: deque[DiscoveryRequest | DeltaDiscoveryRequest] = deque()
        self.to_client: deque[SentResponse] = deque()
        self.nonces: dict[str, str] = {}
        self.unanswered: set[str] = set()
        self.delayed_ack: SentResponse | None = None
        self.nacked: set[str] = set()
        self._nacking: dict[str, set[str]] = {}
        self._silent = bool(proxy.warming)
        """Observed with Envoy 1.40: on a new stream it requests clusters only once the warming ones are warm."""
        if not self._silent:
            self._open(CDS, ())
        if proxy.clusters:
            self._open(EDS, tuple(sorted(filter(waits, proxy.clusters))))
        self._open(LDS, ())
        if proxy.listeners:
            self._open(RDS, tuple(sorted(proxy.listeners)))

    @property
    def stream(self) -> StreamState:
        """The state of the stream at the server."""
        return self._stream.state

    @stream.setter
    def stream(self, state: StreamState) -> None:
        """For mutants of the server."""
        self._stream.state = state

    def step(self, event: Event) -> None:
        """An event at the server."""
        if isinstance(event, Snapshot):  # what was NACKed and is gone may be tried again if it ever comes back
            self.nacked &= frozenset().union(*(event.catalogue(url).contents for url in PUSH_ORDER))
        elif isinstance(event, Retry):
            self.nacked -= event.contents
        for response in self._stream.step(event):
            self._check(response)
            self.to_client.append(response)

    def deliver_request(self) -> None:
        """Deliver the oldest request to the server."""
        request = self.to_server.popleft()
        pending = self.stream.types[request.type_url].pending if request.type_url in self.stream.types else None
        if pending and request.response_nonce == self._stream.newest[request.type_url]:
            self.unanswered.discard(request.type_url)
            self.nacked |= self._nacking.pop(request.response_nonce, set())
        self.step(request)

    def deliver_response(self, how: str = "") -> None:
        """Deliver the oldest response to the client, which ACKs or NACKs it."""
        response = self.to_client.popleft()
        self.nonces[response.type_url] = response.nonce
        new = response.type_url == EDS and not {r.name for r in response.resources} <= self.proxy.endpoints.keys()
        if how and response.resources and not new:  # without its only endpoints, a cluster has none
            self._nack(response, how)
            return
        self._apply(response)

    def deliver_all(self, limit: int = 1000) -> int:
        """Deliver everything, until nothing is under way: how many messages that took."""
        for count in range(limit):
            if self.to_client:
                self.deliver_response()
            elif self.to_server:
                self.deliver_request()
            else:
                return count
        raise AssertionError("they never come to rest")

    def _check(self, response: SentResponse) -> None:
        assert response.type_url not in self.unanswered, (
            f"a second response of {response.type_url} before the first's ACK"
        )
        self.unanswered.add(response.type_url)
        names = [resource.name for resource in response.resources]
        assert len(names) == len(set(names)), "the same name twice in one response"
        contents = {unit.content for resource in response.resources for unit in resource.units}
        assert not contents & self.nacked, "what was refused was sent again"
        assert all(resource.packed for resource in response.resources), "a resource without its bytes"
        assert self.proxy.delta or not response.removed_resources
        for table in response.resources if response.type_url == RDS else ():
            self._check_hosts(table)

    def _check_hosts(self, table: Resource) -> None:
        """What the client serves, and is still to serve, is in every table that it is sent."""
        assert self.stream.snapshot
        held, newest = self.proxy.routes.get(table.name), self.stream.snapshot.catalogue(RDS).find(table.name)
        has = {host.name for host in held.virtual_hosts} if held else set()
        stays = has & {host.name for host in newest.virtual_hosts} if newest else set()
        assert stays <= {host.name for host in table.virtual_hosts}, "a virtual host is lost"

    def _apply(self, response: SentResponse) -> None:
        proxy, url = self.proxy, response.type_url
        held = proxy.resources_of(url)
        new = {resource.name: resource for resource in response.resources}
        gone = (
            set(response.removed_resources)
            if proxy.delta
            else (held.keys() - new.keys() if url in (CDS, LDS) else set())
        )
        before = dict(held)
        if url in (EDS, RDS):
            new = {name: r for name, r in new.items() if name in self._names(url)}
        held.update(new)
        for name in gone if url != RDS else ():
            held.pop(name, None)
        if url == CDS:
            changed = {n for n, r in new.items() if n not in before or before[n].content != r.content}
            proxy.warming = (proxy.warming - gone) | set(filter(waits, changed))
            self._ask_endpoints(before)
        elif url == EDS:
            proxy.warming -= new.keys() | gone  # told that there are none, Envoy waits no longer
        elif url == LDS:
            self._ask_routes(before)
        if url == CDS and proxy.warming:
            self.delayed_ack = response
        else:
            self._ack(response)
        self._warmed()

    def _warmed(self) -> None:
        """The ACK of clusters goes out once they are all warm."""
        if self.delayed_ack and not self.proxy.warming:
            response, self.delayed_ack = self.delayed_ack, None
            self._ack(response)
        if self._silent and not self.proxy.warming:
            self._silent = False
            self._open(CDS, ())

    def _nack(self, response: SentResponse, how: str) -> None:
        held = self.proxy.resources_of(response.type_url)
        known = {(resource.name, unit.content) for resource in held.values() for unit in resource.units}
        units = [(resource.name, unit) for resource in response.resources for unit in resource.units]
        news = [unit for name, unit in units if (name, unit.content) not in known]
        culprits = news[-1:] if how == NACK_BY_NAME else news
        how = how if news else NACK
        self._nacking[response.nonce] = {unit.content for unit in culprits}
        text = f"bad: {culprits[0].name}" if how == NACK_BY_NAME else "bad"
        if how == NACK_BY_NAME and not self.proxy.delta and response.type_url in (CDS, LDS):
            name = culprits[0].name
            rest = [r for r in response.resources if r.name != name]
            kept = (held[name],) if name in held else ()
            self._apply_rest(response, (*rest, *kept))
        self._send(response.type_url, nonce=response.nonce, error=text)
        if response.type_url == EDS:  # Envoy does not wait for endpoints that it NACKed
            self.proxy.warming -= {unit.name for unit in culprits} or {name for name, _ in units}
            self._warmed()

    def _apply_rest(self, response: SentResponse, resources: tuple[Resource, ...]) -> None:
        held = self.proxy.resources_of(response.type_url)
        before = dict(held)
        held.clear()
        held.update({r.name: r for r in resources})
        if response.type_url == CDS:
            changed = {r.name for r in resources if r.name not in before or before[r.name].content != r.content}
            self.proxy.warming = (self.proxy.warming & held.keys()) | set(filter(waits, changed))
            self._ask_endpoints(before)
        else:
            self._ask_routes(before)

    def _ask_endpoints(self, before: dict[str, Resource]) -> None:
        self._resubscribe(EDS, before.keys(), filter(waits, self.proxy.clusters))
        self.proxy.endpoints = {n: r for n, r in self.proxy.endpoints.items() if n in self.proxy.clusters}

    def _ask_routes(self, before: dict[str, Resource]) -> None:
        self._resubscribe(RDS, before.keys(), self.proxy.listeners.keys())
        self.proxy.routes = {n: r for n, r in self.proxy.routes.items() if n in self.proxy.listeners}

    def _names(self, type_url: str) -> set[str]:
        return set(self.proxy.clusters if type_url == EDS else self.proxy.listeners)

    def _open(self, type_url: str, names: tuple[str, ...]) -> None:
        held = self.proxy.resources_of(type_url)
        self._subscribed.setdefault(type_url, set()).update(names)
        if self.proxy.delta:
            initial = tuple((name, resource.version) for name, resource in sorted(held.items()))
            self.to_server.append(DeltaDiscoveryRequest(type_url, subscribe=names, initial_resource_versions=initial))
        else:
            self.to_server.append(DiscoveryRequest(type_url, names, version_info=self.proxy.versions.get(type_url, "")))

    @property
    def _subscribed(self) -> dict[str, set[str]]:
        return self.__dict__.setdefault("_subscriptions", {})

    def _resubscribe(self, type_url: str, before: object, after: object) -> None:
        known, wanted = self._subscribed.setdefault(type_url, set()), set(after)  # type: ignore[call-overload]
        added, dropped = wanted - known, known - wanted
        self._subscribed[type_url] = wanted
        if added or dropped:
            self._send(type_url, subscribe=tuple(sorted(added)), unsubscribe=tuple(sorted(dropped)))

    def _ack(self, response: SentResponse) -> None:
        self.proxy.versions[response.type_url] = response.version_info
        self._send(response.type_url, nonce=response.nonce)

    def _send(
        self,
        type_url: str,
        *,
        nonce: str = "",
        error: str | None = None,
        subscribe: tuple[str, ...] = (),
        unsubscribe: tuple[str, ...] = (),
    ) -> None:
        request: DiscoveryRequest | DeltaDiscoveryRequest
        if self.proxy.delta:
            request = DeltaDiscoveryRequest(type_url, subscribe, unsubscribe, response_nonce=nonce, error_detail=error)
        else:
            names = tuple(sorted(self._subscribed.get(type_url, ())))
            version = self.proxy.versions.get(type_url, "")
            request = DiscoveryRequest(type_url, names, version, nonce or self.nonces.get(type_url, ""), error)
        waiting = self.to_server[-1] if self.to_server else None
        together = merged(waiting, request) if self._lazy and waiting else None
        if together:
            self.to_server.pop()
        self.to_server.append(together or request)


def merged(
    first: DiscoveryRequest | DeltaDiscoveryRequest, second: DiscoveryRequest | DeltaDiscoveryRequest
) -> DiscoveryRequest | DeltaDiscoveryRequest | None:
    """Two requests that were not yet under way as one, as Envoy sends them; None if they must stay two.

    A name that was dropped and is wanted again is asked for as if it were new.
    """
    if first.type_url != second.type_url or first.error_detail is not None or second.error_detail is not None:
        return None
    if isinstance(first, DiscoveryRequest) and isinstance(second, DiscoveryRequest):
        return second if first.response_nonce == second.response_nonce else None
    if (
        isinstance(first, DeltaDiscoveryRequest)
        and isinstance(second, DeltaDiscoveryRequest)
        and not (first.response_nonce and second.response_nonce)
    ):
        added = {*first.subscribe} - {*second.unsubscribe} | {*second.subscribe}
        dropped = {*first.unsubscribe} - {*second.subscribe} | {*second.unsubscribe}
        nonce = first.response_nonce or second.response_nonce
        return DeltaDiscoveryRequest(
            first.type_url,
            tuple(sorted(added)),
            tuple(sorted(dropped)),
            first.initial_resource_versions,
            nonce,
            second.error_detail,
        )
    return None


def settle_timeout(link: SimulatedStream) -> None:
    """The client has had its time."""
    link.step(SettleTimeout())
