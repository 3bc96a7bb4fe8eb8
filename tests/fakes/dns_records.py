"""A DNS server on loopback that has the records that a test gives it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class FakeDns(asyncio.DatagramProtocol):
    """`records` are by name and type, without the last dot: their texts. A name that is in none does not exist."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ttl: int = 1
    rcode: str = ""
    """What it answers instead; `silent`: nothing."""
    truncated: bool = False
    """Whether an answer over UDP says that it does not fit; over TCP it always does."""
    asked: Counter[str] = field(default_factory=Counter)
    """By type, and `tcp`."""
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._answer(data)
        if answer and self.truncated:
            answer.flags |= dns.flags.TC
            answer.answer.clear()
        if answer:
            self._transport.sendto(answer.to_wire(), addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question over TCP."""
        self.asked["tcp"] += 1
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if answer := self._answer(data):
            wire = answer.to_wire()
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answer(self, data: bytes) -> dns.message.Message | None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        name, kind = question.question[0].name, dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked[kind] += 1
        if self.rcode == "silent":
            return None
        plain = name.to_text(omit_final_dot=True)
        found = self.records.get((plain, kind), [])
        if self.rcode:
            answer.set_rcode(dns.rcode.from_text(self.rcode))
        elif found:
            answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *found))
        elif not any(known == plain for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


@contextlib.asynccontextmanager
async def fake_dns() -> AsyncIterator[FakeDns]:
    """It serves until the end of the block, by UDP and TCP on one port."""
    made = FakeDns()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: made, ("127.0.0.1", made.port))
    try:
        yield made
    finally:
        transport.close()
        server.close()
        await server.wait_closed()
