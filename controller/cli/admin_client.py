"""The admin API as the commands call it: each call returns a response or raises a `Failure`."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TypeVar

# gRPC's own log would print lines between those of the command.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.message import Message

from controller.cli.endpoint import Endpoint, read_file
from controller.cli.failure import Exit, Failure
from controller.cli.grpc_failure import failure_of, interrupted, tls_failure, wrong_port
from controller.cli.invocation import operator
from controller.cli.login_token import LoginToken
from controller.cli.suggestions import did_you_mean
from controller.cli.tls_diagnosis import diagnose
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

DEADLINE = 10.0
"""Seconds for one response."""
SECOND_DEADLINE = 2.0
"""Seconds for a call that only improves the message of a failure."""

MAX_USER = 64
"""Characters of a user's name that the controller accepts."""

_ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # the controller is on this machine or behind a tunnel, never behind a proxy
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5000),  # this is also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]

Response = TypeVar("Response", bound=Message)


class AdminClient:
    """A connection to the admin API.

    Methods are named as in the API: `Catalog/GetService`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises `Failure` if a file of the endpoint cannot be read. Does not connect yet."""
        self._endpoint = endpoint
        self.address = endpoint.address
        # Metadata is ASCII; other letters become escapes.
        self._user = operator().encode("ascii", "backslashreplace").decode()[:MAX_USER]
        self._login = LoginToken(endpoint.login) if endpoint.login else None
        self._stamp = _stamp(endpoint)
        self._channels = [_channel(endpoint)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()

    @property
    def _channel(self) -> grpc.Channel:
        """The channel for the next call: a new one once a certificate was replaced, so that a long `watch` outlives
        that. What runs on the former ones goes on there."""
        stamp = _stamp(self._endpoint)
        if stamp != self._stamp:
            with contextlib.suppress(Failure):  # a file is gone for a moment: the next call reads it
                self._channels.append(_channel(self._endpoint))
                self._stamp = stamp
        return self._channels[-1]

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._endpoint.sendable(self._login.current()) if self._login else self._endpoint.token()
        proof = (("authorization", f"Bearer {token}"),) if token else ()
        return (("haldane-user", self._user), *proof)

    def call(
        self,
        method: str,
        request: Message,
        response: type[Response],
        deadline: float = DEADLINE,
        *,
        again: bool = True,
    ) -> Response:
        """The response to one request. Raises `Failure`; `deadline` is in seconds."""
        unary = self._channel.unary_unary(
            f"/haldane.admin.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            received: Response = unary(request, timeout=deadline, metadata=self._metadata())
        except grpc.RpcError as error:
            if again and self._may_try_again(error):
                return self.call(method, request, response, deadline, again=False)
            raise self._failure(error, request, deadline) from None
        except KeyboardInterrupt:
            if not (request_id := _request_id(request)):
                raise
            raise interrupted(request_id) from None
        return received

    def stream(
        self, method: str, request: Message, response: type[Response], *, again: bool = True
    ) -> Iterator[Response]:
        """The messages of a stream, until the server ends it. Raises `Failure` if it breaks."""
        unary_stream = self._channel.unary_stream(
            f"/haldane.admin.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            yield from unary_stream(request, metadata=self._metadata())
        except ValueError:  # the channel was closed meanwhile
            raise Failure(Exit.UNREACHABLE, "the connection is closed") from None
        except grpc.RpcError as error:
            if not (again and self._may_try_again(error)):
                raise self._failure(error, request) from None
            yield from self.stream(method, request, response, again=False)

    def services(self, deadline: float = DEADLINE) -> list[pb.Service]:
        """All services, by name. Raises `Failure`; `deadline` is in seconds."""
        response = self.call("Catalog/ListServices", pb.ListServicesRequest(), pb.ListServicesResponse, deadline)
        return list(response.services)

    def suggestion(self, *names: str) -> str:
        """A question that names the service which the first misspelt name probably means; empty if
        none is similar."""
        try:
            known = [service.name for service in self.services(SECOND_DEADLINE)]
        except Failure:
            return ""
        return next(filter(None, (did_you_mean(name, known) for name in names)), "")

    def _may_try_again(self, error: grpc.RpcError) -> bool:
        """Whether the controller rejects the login's token, before anything was done, and there is a newer one now."""
        return error.code() is grpc.StatusCode.UNAUTHENTICATED and bool(self._login and self._login.renewed())

    def _failure(self, error: grpc.RpcError, request: Message, deadline: float = 0.0) -> Failure:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED and self._is_xds_port():
            return wrong_port(self.address, "the xDS port, which proxies connect to")
        if error.code() is grpc.StatusCode.UNAVAILABLE and (why := diagnose(self._endpoint)):
            return tls_failure(why)
        failure = failure_of(error, self.address, deadline, _request_id(request))
        if failure.status is Exit.NOT_FOUND and not failure.hint:
            named = getattr(request, "service", "") or getattr(request, "services", ())
            failure.hint = self.suggestion(*([named] if isinstance(named, str) else named))
        return failure

    def _is_xds_port(self) -> bool:
        """Whether the server at the address serves xDS: it accepts an ADS stream, which is ended
        without a request."""
        stream = self._channel.stream_stream(_ADS, None, None)(iter(()), timeout=SECOND_DEADLINE)
        try:
            return not list(stream)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.UNIMPLEMENTED


def _request_id(request: Message) -> str:
    return getattr(request, "request_id", "")


def _channel(endpoint: Endpoint) -> grpc.Channel:
    """A channel to it. Raises `Failure` if its files cannot be read."""
    if not endpoint.uses_tls:
        return grpc.insecure_channel(endpoint.address, options=_OPTIONS)
    certificate = read_file("--certificate", endpoint.certificate) if endpoint.certificate else None
    key = read_file("--key", endpoint.key) if endpoint.key else None
    credentials = grpc.ssl_channel_credentials(endpoint.ca_content(), key, certificate)
    return grpc.secure_channel(endpoint.address, credentials, options=_OPTIONS)


def _stamp(endpoint: Endpoint) -> tuple[float, ...]:
    """What changes when a file of the connection is replaced; one that is gone for a moment counts as unchanged."""
    stamps = []
    for path in (endpoint.ca, endpoint.certificate, endpoint.key):
        try:
            stamps.append(Path(path).expanduser().stat().st_mtime if path else 0.0)
        except OSError:
            stamps.append(0.0)
    return tuple(stamps)
