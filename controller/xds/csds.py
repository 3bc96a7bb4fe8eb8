"""CSDS, the client status discovery service of Envoy's API: the state of each proxy, for tools that use it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from controller.pb.haldane.wire.v1 import client_status_pb2 as pb
from controller.ports.fleet import ProxyStatus, TypeStatus

SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"

Proxies = Callable[[], tuple[ProxyStatus, ...]]
Context = grpc.aio.ServicerContext[Any, Any]

MATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}


def csds_handler(proxies: Proxies) -> "grpc.GenericRpcHandler[Any, Any]":
    """The service, over what `proxies` returns: for each proxy and type SYNCED, STALE, NOT_SENT or ERROR."""

    async def fetch(request: bytes, context: Context) -> bytes:
        return await _response(request, proxies(), context)

    async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await _response(request, proxies(), context)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(fetch),
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(stream),
        },
    )


async def _response(data: bytes, proxies: tuple[ProxyStatus, ...], context: Context) -> bytes:
    try:
        request = pb.ClientStatusRequest.FromString(data)
        wanted = [proxy for proxy in proxies if _matches(request, proxy.node)]
    except (DecodeError, ValueError) as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    return pb.ClientStatusResponse(config=[_config(proxy) for proxy in wanted]).SerializeToString()


def _matches(request: pb.ClientStatusRequest, node: str) -> bool:
    """Whether any of the request's matchers matches; without matchers, every node does. Raises ValueError."""
    patterns = [matcher.node_id.WhichOneof("match_pattern") for matcher in request.node_matchers]
    if None in patterns:
        raise ValueError(f"node_matchers: a node_id with one of {', '.join(MATCHES)} is needed")
    matches = [
        MATCHES[pattern](node, getattr(matcher.node_id, pattern))
        for pattern, matcher in zip(patterns, request.node_matchers, strict=True)
        if pattern
    ]
    return any(matches) or not matches


def _config(proxy: ProxyStatus) -> pb.ClientConfig:
    name, _, version = proxy.client.partition(" ")
    node = {"id": proxy.node, "cluster": proxy.fleet, "user_agent_name": name, "user_agent_version": version}
    return pb.ClientConfig(node=node, generic_xds_configs=[_type(status) for status in proxy.types])


def _type(status: TypeStatus) -> pb.TypeConfig:
    config = pb.TypeConfig(
        type_url=status.type_url,
        version_info=status.acknowledged,
        config_status=status.state,
    )
    config.last_updated.FromMilliseconds(round(status.since * 1000))
    if status.error:
        config.error_state.details = status.error
        config.error_state.version_info = status.wanted
    return config
