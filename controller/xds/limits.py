"""What one client may ask of us. Every limit has a name, a unit and a reason, and is refused loudly."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the xDS door. Beyond one, the stream that broke it ends with a status that names it."""

    streams: int = 4096
    """Open calls on the door, over all clients; gRPC refuses further ones with RESOURCE_EXHAUSTED."""
    streams_per_node: int = 8
    """Open streams of one node: ADS, or one for each type, and the old ones of a reconnect not yet noticed as dead."""
    message_bytes: int = 256 * 1024
    """Size of a discovery request. Envoy's first is about 61 KB, mostly its list of extensions."""
    metadata_bytes: int = 8 * 1024
    """Size of a call's headers."""
    first_request: float = 10.0
    """Seconds until a new stream must say who it is: an idle connection costs memory and tells nothing."""
    write: float = 20.0
    """Seconds in which responses must find room in the client's window: a slower reader had better reconnect."""
    requests_per_second: float = 50.0
    """Sustained requests on one stream. A client's own requests number a few for each change."""
    requests_burst: int = 200
    """Requests at once on one stream, as after a reconnect with every type."""
    names: int = 4096
    """Resource names in one request: two versions each of 2000 services."""
    name_length: int = 256
    """Characters of a resource name; a service and a version have 63 each."""
    node_length: int = 256
    """Characters of a node's id, and of its fleet."""
    types: int = 32
    """Resource types on one stream. Envoy knows about a dozen."""
    error_length: int = 1024
    """Characters that are kept of a refusal's text, which is shown and written to the ledger."""
    settle: float = 1.0
    """Seconds in which a reconnecting client asks for all types it uses; nothing it brought is taken away before."""
    confirm: float = 10.0
    """Seconds after which a proxy that has not acknowledged is called unconfirmed."""


DEFAULT = Limits()
"""The limits if nobody says otherwise."""


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The limits that gRPC itself keeps, and the keepalive by which half-open connections are noticed."""
    return (
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
        ("grpc.so_reuseport", 0),
    )
