"""Bytes <-> discovery requests and responses. Whatever the bytes are, the only error is `StreamError`."""

from collections.abc import Collection
from functools import lru_cache
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError

from controller.core.base.text import clean, clean_lines, is_printable
from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.limits import Limits
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse
from controller.xds.protocol.node import Node
from controller.xds.resources.access_logs import STATS_LOGGER
from controller.xds.resources.resource import Resource
from controller.xds.resources.type_urls import TYPE_URL_PREFIX
from controller.xds.stream_error import StreamError

M = TypeVar("M", pb.DiscoveryRequest, pb.DeltaDiscoveryRequest)


def parse_request(data: bytes, implied: str, limits: Limits) -> tuple[DiscoveryRequest, Node | None]:
    """A DiscoveryRequest, and the node if it has one. `implied` is a per-type service's type, or "" on ADS."""
    message = _parsed(pb.DiscoveryRequest, data)
    _check_names(message.resource_names, limits)
    request = DiscoveryRequest(
        type_url=_type(message.type_url, implied, limits),
        resource_names=tuple(message.resource_names),
        version_info=message.version_info,
        response_nonce=message.response_nonce,
        error_detail=_error_detail(message),
    )
    return request, _node(message, limits)


def parse_delta_request(data: bytes, implied: str, limits: Limits) -> tuple[DeltaDiscoveryRequest, Node | None]:
    """A DeltaDiscoveryRequest, and the node if it has one."""
    message = _parsed(pb.DeltaDiscoveryRequest, data)
    for names in (
        message.resource_names_subscribe,
        message.resource_names_unsubscribe,
        message.initial_resource_versions,
    ):
        _check_names(names, limits)
    request = DeltaDiscoveryRequest(
        type_url=_type(message.type_url, implied, limits),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_resource_versions=tuple(message.initial_resource_versions.items()),
        response_nonce=message.response_nonce,
        error_detail=_error_detail(message),
    )
    return request, _node(message, limits)


def serialize_response(response: DiscoveryResponse, identifier: str) -> bytes:
    """A DiscoveryResponse but for its nonce (`nonce_field`). `identifier` names the control plane."""
    head = pb.DiscoveryResponseHead(version_info=response.version_info, type_url=response.type_url)
    head.control_plane.identifier = identifier
    return serialize_resources(response.resources) + head.SerializeToString()


def serialize_delta_response(response: DiscoveryResponse, identifier: str) -> bytes:
    """A DeltaDiscoveryResponse but for its nonce (`nonce_field`). `identifier` names the control plane."""
    head = pb.DeltaDiscoveryResponseHead(
        system_version_info=response.version_info,
        type_url=response.type_url,
        removed_resources=response.removed_resources,
    )
    head.control_plane.identifier = identifier
    return serialize_delta_resources(response.resources) + head.SerializeToString()


@lru_cache(maxsize=1024)
def nonce_field(nonce: str) -> bytes:
    """The field `nonce`, to append to a response of either kind: in both messages it has the same number."""
    return pb.DiscoveryResponseHead(nonce=nonce).SerializeToString()


@lru_cache(maxsize=32)
def serialize_resources(resources: tuple[Resource, ...]) -> bytes:
    """The field `resources` of a DiscoveryResponse; shared by streams that send the same."""
    return pb.DiscoveryResponseBody(resources=[resource.packed for resource in resources]).SerializeToString()


@lru_cache(maxsize=32)
def serialize_delta_resources(resources: tuple[Resource, ...]) -> bytes:
    """The field `resources` of a DeltaDiscoveryResponse; shared by streams that send the same."""
    entries = [pb.DeltaResource(name=r.name, version=r.version, resource=r.packed) for r in resources]
    return pb.DeltaDiscoveryResponseBody(resources=entries).SerializeToString()


def _parsed(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.__name__}: {error}") from None


def _type(type_url: str, implied: str, limits: Limits) -> str:
    if len(type_url) > limits.name_length:
        raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is longer than {limits.name_length} characters")
    if not is_printable(type_url):
        raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is {type_url!a}, which is not printable")
    if implied and type_url not in ("", implied):
        raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, f"type_url is {type_url!r}; this service is for {implied}")
    if not type_url and not implied:
        raise StreamError(
            grpc.StatusCode.INVALID_ARGUMENT, f"type_url is empty; one such as {TYPE_URL_PREFIX}... is needed"
        )
    return type_url or implied


def _check_names(names: Collection[str], limits: Limits) -> None:
    if len(names) > limits.names:
        raise StreamError(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"{len(names)} resource names in one request; at most {limits.names}"
        )
    if any(len(name) > limits.name_length for name in names):
        raise StreamError(
            grpc.StatusCode.INVALID_ARGUMENT, f"a resource name is longer than {limits.name_length} characters"
        )


def _error_detail(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest) -> str | None:
    return clean_lines(message.error_detail.message) if message.HasField("error_detail") else None


def _node(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest, limits: Limits) -> Node | None:
    if not message.HasField("node"):
        return None
    node = message.node
    for field, text in (("node.id", node.id), ("node.cluster", node.cluster)):
        if len(text) > limits.node_length or not is_printable(text):
            raise StreamError(
                grpc.StatusCode.INVALID_ARGUMENT, f"{field} is not at most {limits.node_length} printable characters"
            )
    if not node.id:
        raise StreamError(grpc.StatusCode.INVALID_ARGUMENT, "node.id is empty; every proxy needs a name of its own")
    has_stats_logger = any(extension.name == STATS_LOGGER for extension in node.extensions)
    return Node(node.id, node.cluster, _client(node, limits), has_stats_logger)


def _client(node: pb.Node, limits: Limits) -> str:
    """Name and version, such as `envoy 1.40.0`."""
    if node.HasField("user_agent_build_version"):
        build = node.user_agent_build_version.version
        version = f"{build.major_number}.{build.minor_number}.{build.patch}"
    else:
        version = node.user_agent_version
    text = f"{node.user_agent_name} {version}".strip()
    return clean(text)[: limits.node_length]
