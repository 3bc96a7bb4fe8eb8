"""The admin API as the commands use it: one call, one answer or one `Failure`."""

import os
from collections.abc import Iterator
from typing import Self, TypeVar

# gRPC's own log would write lines of C++ between ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.message import Message

from controller.cli.failure import Exit, Failure
from controller.cli.grpc_failure import failure_of, interrupted
from controller.cli.invocation import DEFAULT_ADMIN, is_address, operator

DEADLINE = 10.0
"""Seconds for one answer."""

MAX_USER = 64
"""Characters of a user's name that the controller takes."""

_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # the controller is on this machine or at the end of a tunnel, never behind a proxy
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5000),  # this is also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]

Answer = TypeVar("Answer", bound=Message)


class AdminClient:
    """A connection to the admin API at `address`. Methods are named as in the API: `Catalog/GetService`."""

    def __init__(self, address: str) -> None:
        if not is_address(address):
            raise Failure(
                Exit.USAGE, f"--admin (or HALDANE_ADMIN): HOST:PORT is needed, such as {DEFAULT_ADMIN}, not {address!r}"
            )
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        # Metadata is ASCII; a name that is not keeps its meaning as escapes.
        user = operator().encode("ascii", "backslashreplace").decode()
        self._metadata = (("haldane-user", user[:MAX_USER]),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def ask(self, method: str, request: Message, answer: type[Answer], deadline: float = DEADLINE) -> Answer:
        """The answer to one request; `Failure` says why there is none."""
        call = self._channel.unary_unary(
            f"/haldane.admin.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: Answer = call(request, timeout=deadline, metadata=self._metadata)
        except grpc.RpcError as error:
            raise failure_of(error, self.address, deadline, _request_id(request)) from None
        except KeyboardInterrupt:
            if not (request_id := _request_id(request)):
                raise
            raise interrupted(request_id) from None
        return found

    def follow(self, method: str, request: Message, answer: type[Answer]) -> Iterator[Answer]:
        """The answers of a stream, until it ends; `Failure` says why it ended."""
        call = self._channel.unary_stream(
            f"/haldane.admin.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            yield from call(request, metadata=self._metadata)
        except ValueError:  # the channel was closed meanwhile
            raise Failure(Exit.UNREACHABLE, "the connection is closed") from None
        except grpc.RpcError as error:
            raise failure_of(error, self.address) from None


def _request_id(request: Message) -> str:
    return getattr(request, "request_id", "")
