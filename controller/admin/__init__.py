"""The admin APIs: gRPC for programs and the command line, HTTP for curl and Prometheus.

They translate to `Operations` and back, and decide nothing.
"""

MAX_METADATA = 8 * 1024
"""Bytes of a call's metadata."""

MAX_REQUEST = 16 * 1024 * 1024
"""Bytes of a request: thousands of usual service files in one, or some of the largest."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
)
"""The limits of the admin API's gRPC server."""
