"""The admin APIs: gRPC for programs and the command line, HTTP for curl and Prometheus.

They translate to `Operations` and back, and decide nothing.
"""

from controller.core.servicefile.yaml_tree import MAX_BYTES

MAX_METADATA = 8 * 1024
"""Bytes of a call's metadata."""

OPTIONS = (
    # Room around the largest service file, so that a file above its limit gets an answer in words.
    ("grpc.max_receive_message_length", MAX_BYTES + 8 * 1024),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
)
"""The limits of the admin API's gRPC server."""
