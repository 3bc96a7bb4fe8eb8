"""Bytes <-> the stream's events and replies. Whatever the bytes, the only error is `BadRequest`."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.limits import Limits
from controller.xds.snapshot import PREFIX, Resource
from controller.xds.stream import DeltaRequest, Reply, Request

M = TypeVar("M", pb.DiscoveryRequest, pb.DeltaDiscoveryRequest)


class BadRequest(Exception):  # noqa: N818
    """A request that ends its stream: the gRPC status, and words that say what would have been right."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Node:
    """Who is at the other end. `fleet` is Envoy's node.cluster; `client` is its name and version."""

    id: str
    fleet: str
    client: str


def read_request(data: bytes, implied: str, limits: Limits) -> tuple[Request, Node | None]:
    """A DiscoveryRequest, and the node if it says one. `implied` is a per-type service's type, or "" on ADS."""
    message = _parsed(pb.DiscoveryRequest, data)
    _check_names(message.resource_names, limits)
    request = Request(
        type_url=_type(message.type_url, implied, limits),
        names=tuple(message.resource_names),
        version=message.version_info,
        nonce=message.response_nonce,
        error=_error(message, limits),
    )
    return request, _node(message, limits)


def read_delta_request(data: bytes, implied: str, limits: Limits) -> tuple[DeltaRequest, Node | None]:
    """A DeltaDiscoveryRequest, and the node if it says one."""
    message = _parsed(pb.DeltaDiscoveryRequest, data)
    for names in (
        message.resource_names_subscribe,
        message.resource_names_unsubscribe,
        message.initial_resource_versions,
    ):
        _check_names(names, limits)
    request = DeltaRequest(
        type_url=_type(message.type_url, implied, limits),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=tuple(message.initial_resource_versions.items()),
        nonce=message.response_nonce,
        error=_error(message, limits),
    )
    return request, _node(message, limits)


def write_reply(reply: Reply, identifier: str) -> bytes:
    """A DiscoveryResponse."""
    head = pb.DiscoveryResponseHead(version_info=reply.version, type_url=reply.type_url, nonce=reply.nonce)
    head.control_plane.identifier = identifier
    return joined(reply.resources) + head.SerializeToString()


def write_delta_reply(reply: Reply, identifier: str) -> bytes:
    """A DeltaDiscoveryResponse."""
    head = pb.DeltaDiscoveryResponseHead(
        system_version_info=reply.version, type_url=reply.type_url, nonce=reply.nonce, removed_resources=reply.removed
    )
    head.control_plane.identifier = identifier
    return joined_delta(reply.resources) + head.SerializeToString()


@lru_cache(maxsize=32)
def joined(resources: tuple[Resource, ...]) -> bytes:
    """The field `resources` of a DiscoveryResponse; shared by the streams that are sent the same."""
    return pb.DiscoveryResponseBody(resources=[resource.any for resource in resources]).SerializeToString()


@lru_cache(maxsize=32)
def joined_delta(resources: tuple[Resource, ...]) -> bytes:
    """The field `resources` of a DeltaDiscoveryResponse; shared by the streams that are sent the same."""
    entries = [pb.DeltaResource(name=r.name, version=r.version, resource=r.any) for r in resources]
    return pb.DeltaDiscoveryResponseBody(resources=entries).SerializeToString()


def _parsed(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.__name__}: {error}") from None


def _type(type_url: str, implied: str, limits: Limits) -> str:
    if len(type_url) > limits.name_length:
        raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is longer than {limits.name_length} characters")
    if implied and type_url not in ("", implied):
        raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is {type_url!r}; this service is for {implied}")
    if not type_url and not implied:
        raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is empty; one such as {PREFIX}... is needed")
    return type_url or implied


def _check_names(names: Collection[str], limits: Limits) -> None:
    if len(names) > limits.names:
        raise BadRequest(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"{len(names)} resource names in one request; at most {limits.names}"
        )
    if any(len(name) > limits.name_length for name in names):
        raise BadRequest(
            grpc.StatusCode.INVALID_ARGUMENT, f"a resource name is longer than {limits.name_length} characters"
        )


def _error(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest, limits: Limits) -> str | None:
    return message.error_detail.message[: limits.error_length] if message.HasField("error_detail") else None


def _node(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest, limits: Limits) -> Node | None:
    if not message.HasField("node"):
        return None
    node = message.node
    for field, text in (("node.id", node.id), ("node.cluster", node.cluster)):
        if len(text) > limits.node_length or not text.isprintable():
            raise BadRequest(
                grpc.StatusCode.INVALID_ARGUMENT, f"{field} is not at most {limits.node_length} printable characters"
            )
    if not node.id:
        raise BadRequest(grpc.StatusCode.INVALID_ARGUMENT, "node.id is empty; every proxy needs a name of its own")
    return Node(node.id, node.cluster, _client(node, limits))


def _client(node: pb.Node, limits: Limits) -> str:
    """Name and version, such as `envoy 1.40.0`."""
    if node.HasField("user_agent_build_version"):
        found = node.user_agent_build_version.version
        version = f"{found.major_number}.{found.minor_number}.{found.patch}"
    else:
        version = node.user_agent_version
    text = f"{node.user_agent_name} {version}".strip()
    return "".join(c for c in text if c.isprintable())[: limits.node_length]
