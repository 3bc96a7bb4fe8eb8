"""A DNS server that knows one answer, and an Envoy that asks it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import cast

_HEADER = struct.Struct(">HHHHHH")
_ANSWER = struct.Struct(">HHHIH4s")
_A, _INTERNET, _TTL, _FIRST_NAME, _RESPONSE = 1, 1, 1, 0xC00C, 0x8180


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = [socket.inet_aton(address) for address in addresses]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", _HEADER.size) + 5
        question = data[_HEADER.size : end]
        addresses = self._addresses if question[-3] == _A else []
        header = _HEADER.pack(_HEADER.unpack_from(data)[0], _RESPONSE, 1, len(addresses), 0, 0)
        answers = (_ANSWER.pack(_FIRST_NAME, _A, _INTERNET, _TTL, 4, address) for address in addresses)
        self._transport.sendto(header + question + b"".join(answers), addr)


@contextlib.asynccontextmanager
async def dns_server(*addresses: str) -> AsyncIterator[int]:
    """The port of a DNS server by which every name has these IPv4 addresses."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Responder(addresses), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def resolving_at(port: int, bootstrap: str) -> str:
    """The bootstrap of an Envoy that asks the DNS server on that port of 127.0.0.1."""
    return f"""{bootstrap}
typed_dns_resolver_config:
  name: envoy.network.dns_resolver.cares
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    resolvers: [{{socket_address: {{address: 127.0.0.1, port_value: {port}, protocol: UDP}}}}]
"""
