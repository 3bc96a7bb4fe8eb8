"""The limits of the xDS port. Each has a name, a unit and a reason; exceeding one is an error that names it."""

from typing import Annotated

from pydantic import Field

from controller.core.base.value import Seconds, Value

MIB = 1024 * 1024

MAX_PENDING_CALLS = 100_000
"""Calls that may wait until the event loop takes them: more than all proxies that connect at once."""
UNREAD_BYTES = 256 * 1024
"""Of one stream, before its client waits: 2.5 MB/s at a round trip of 100 ms, as much as an Envoy with a hundred
services reports."""
MAX_PENDING_SECONDS = 3600
"""For how long a call may wait until the event loop takes it. A proxy's call has no deadline, and is still wanted."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Time = Annotated[Seconds, Field(ge=0.01, le=3600)]


class Limits(Value):
    """`[xds_limits]` of the settings. A stream that exceeds a limit ends with a status that names the limit."""

    streams: Count = 16_384
    """Open calls on the port, over all clients: each costs some 30 KB. An Envoy has three (configuration, load reports,
    metrics), so this is 5461 Envoys. Further calls fail with RESOURCE_EXHAUSTED."""
    streams_per_node: Count = 8
    """Open xDS streams of one node on one connection: an aggregated one or one for each type. Streams of other
    connections under the same id take no place: they may be a stranger's, or dead and not yet known to be."""
    connections: Count = 16_384
    """Connections to the port; fewer if the process may open few files. Further ones are closed at once."""
    streams_per_connection: Annotated[int, Field(ge=1, le=100_000)] = 384
    """Open calls on one connection: an Envoy needs three, and a program may stand for many of them. It bounds what a
    flood of calls that are reset at once can hold, which is 1.4 GB without it."""
    handshake: Time = 10.0
    """Seconds in which a new connection must have made its TLS and HTTP/2 handshakes."""
    idle: Annotated[Seconds, Field(ge=0.1, le=3600)] = 60.0
    """Seconds without an open call after which a connection is closed. An Envoy's calls stay open."""
    message_bytes: Annotated[int, Field(ge=1024, le=4 * MIB)] = 256 * 1024
    """Bytes of one request. Envoy's first is about 61 KB, most of it the list of its extensions."""
    metadata_bytes: Annotated[int, Field(ge=1024, le=MIB)] = 8 * 1024
    """Bytes of one call's headers, which gRPC unpacks before Haldane sees them."""
    first_request: Time = 10.0
    """Seconds in which a new stream must identify itself. A stream that does not costs memory and gets nothing."""
    write: Time = 20.0
    """Seconds in which a response must fit into the client's flow control window. A slower client should reconnect."""
    keepalive: Time = 15.0
    """Seconds of silence before a client is pinged, and in which it must respond: a broken connection is noticed within
    half a minute."""
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = 50.0
    """Requests on one stream, sustained. A client sends a few for each change."""
    requests_burst: Count = 200
    """Requests on one stream at once. After a reconnect every type comes at the same time."""
    names: Count = 4096
    """Resource names in one request, and of one type on one stream: two versions each of 2000 services."""
    name_length: Count = 256
    """Characters of a resource name and of a type. Names of services and of versions have 63 at most."""
    node_length: Count = 256
    """Characters of a node's id, of its fleet, and of its client's name: they are displayed and logged."""
    types: Count = 32
    """Resource types on one stream: Envoy knows about a dozen."""
    error_length: Count = 1024
    """Characters kept of a NACK's error message, which is displayed and written to the ledger."""
    refusals: Count = 4096
    """NACKs remembered over all proxies, so that each is written to the ledger once. The oldest is dropped."""
    first_retry: Time = 2.0
    """Seconds after which a listener is sent again that a proxy could not bind. The pause doubles with each NACK."""
    last_retry: Time = 30.0
    """Seconds of the longest such pause."""
    settle: Time = 1.0
    """Seconds in which a client that reconnects subscribes to everything it uses. Nothing it has is removed before."""
    confirm: Time = 10.0
    """Seconds without an ACK after which a proxy is shown as unconfirmed."""


DEFAULT = Limits()
"""The default limits."""


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The limits that gRPC itself enforces."""
    silence = round(limits.keepalive * 1000)
    return (
        ("grpc.max_metadata_size", limits.metadata_bytes),
        # Without this option too, gRPC accepts larger metadata, up to 16 KiB.
        ("grpc.absolute_max_metadata_size", limits.metadata_bytes),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_concurrent_streams", limits.streams_per_connection),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.idle * 1000)),
        ("grpc.keepalive_time_ms", silence),
        ("grpc.keepalive_timeout_ms", silence),
        # Without this option gRPC 1.85 waits a minute for the ping response, whatever the two options above say.
        ("grpc.http2.ping_timeout_ms", silence),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
        ("grpc.so_reuseport", 0),
        # By default gRPC rejects calls at random beyond 1000 that the event loop has not taken yet: the clients see
        # CANCELLED. `streams` is the limit of calls.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        # By default gRPC widens the window of a stream for as long as messages come faster than they are read: that
        # takes twelve megabytes for each proxy whose reports wait.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", UNREAD_BYTES),
        # By default gRPC cancels calls that the event loop has not taken within 30 s.
        ("grpc.server_max_unrequested_time_in_server", MAX_PENDING_SECONDS),
    )
