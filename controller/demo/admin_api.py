"""The controller's admin API as the demo calls it."""

from collections.abc import AsyncIterator
from typing import TypeVar

import grpc.aio
from google.protobuf.message import Message

Response = TypeVar("Response", bound=Message)

OPTIONS = (("grpc.enable_http_proxy", 0),)
DEADLINE = 5.0
"""Seconds for one response."""


class AdminApi:
    """A connection to the admin API.

    Methods are named as in the API: `Fleet/ListProxies`. Raises `grpc.RpcError`.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def call(self, method: str, request: Message, response: type[Response]) -> Response:
        """The response to one request."""
        unary = self._channel.unary_unary(
            f"/haldane.admin.v1.{method}", type(request).SerializeToString, response.FromString
        )
        received: Response = await unary(request, timeout=DEADLINE)
        return received

    async def stream(self, method: str, request: Message, response: type[Response]) -> AsyncIterator[Response]:
        """The messages of a stream."""
        unary_stream = self._channel.unary_stream(
            f"/haldane.admin.v1.{method}", type(request).SerializeToString, response.FromString
        )
        async for message in unary_stream(request):
            yield message

    async def aclose(self) -> None:
        """Close the connection."""
        await self._channel.close(None)
