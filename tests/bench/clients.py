"""Many xDS clients in a process of their own, as light as they can be: they acknowledge the routes they are sent.

Started by the benchmarks with the server's address, or several with commas in between, over which the connections are
spread; the number of streams and of connections, and how many streams may be opening at the same time; and, for mutual
TLS, a folder with certificates. Once all have their routes it writes how
often a stream was tried. For each line that it reads then it writes that it has read it, and once every stream was sent
something since, when the first and the last was (of the machine's monotonic clock).
"""

import asyncio
import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.resources.type_urls import RDS

LATE = "acknowledge late"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


class Crowd:
    """All the streams. Each is tried again until it stands, as Envoy does."""

    def __init__(self, delta: bool, table: str, streams: int, opening: int) -> None:
        self._delta = delta
        self._table = table
        self._streams = streams
        self._served: set[int] = set()
        self.all_served = asyncio.Event()
        self.marked: set[int] = set()
        """The streams that were sent something since the mark."""
        self.first = self.last = 0.0
        self.all_marked = asyncio.Event()
        self._may_acknowledge = asyncio.Event()
        self._may_acknowledge.set()
        self._gate = asyncio.Semaphore(opening)
        self.tries = 0

    async def run(self, channels: list[grpc.aio.Channel]) -> None:
        """Every stream, forever."""
        await asyncio.gather(*(self._keep(channels[i % len(channels)], i) for i in range(self._streams)))

    def mark(self, *, late: bool) -> None:
        """From now on, what is sent counts, and is acknowledged at once, or `late`: once all were sent it."""
        if late:
            self._may_acknowledge.clear()
        self.marked.clear()
        self.all_marked.clear()
        self.first = 0.0

    def _note(self, number: int) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.marked.add(number)
        if len(self.marked) == self._streams:
            self.all_marked.set()
            self._may_acknowledge.set()

    async def _keep(self, channel: grpc.aio.Channel, number: int) -> None:
        while True:
            try:
                await self._talk(channel, number)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.1 + 0.1 * (number % 7))

    async def _talk(self, channel: grpc.aio.Channel, number: int) -> None:
        name = "DeltaAggregatedResources" if self._delta else "StreamAggregatedResources"
        async with self._gate:
            self.tries += 1
            call = channel.stream_stream(METHOD + name)()
            await call.write(self._request(node=pb.Node(id=f"bench-{number}", cluster="edge")))
            data = await call.read()
        self._served.add(number)
        if len(self._served) == self._streams:
            self.all_served.set()
        while data is not grpc.aio.EOF:  # type: ignore[attr-defined]
            head = (pb.DeltaDiscoveryResponseHead if self._delta else pb.DiscoveryResponseHead).FromString(data)
            await self._may_acknowledge.wait()
            await call.write(self._request(response_nonce=head.nonce))
            data = await call.read()
            if not self.all_marked.is_set():
                self._note(number)

    def _request(self, **fields: Any) -> bytes:
        if self._delta:
            names = [self._table] if "node" in fields else []
            return pb.DeltaDiscoveryRequest(type_url=RDS, resource_names_subscribe=names, **fields).SerializeToString()
        return pb.DiscoveryRequest(type_url=RDS, resource_names=[self._table], **fields).SerializeToString()


def connect(address: str, folder: str) -> grpc.aio.Channel:
    """A connection of its own; by mutual TLS if there is a folder with `tls.crt`, `tls.key` and `ca.crt`."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    if not folder:
        return grpc.aio.insecure_channel(address, options=options)
    ca, key, certificate = ((Path(folder) / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate), options=options)


async def main(
    address: str, streams: int, connections: int, kind: str, table: str, opening: int, folder: str = ""
) -> None:
    """Until standard input ends."""
    gc.disable()  # a scan of thousands of streams would count as time of the server
    servers = address.split(",")
    channels = [connect(servers[n % len(servers)], folder) for n in range(connections)]
    crowd = Crowd(kind == "delta", table, streams, opening)
    running = asyncio.create_task(crowd.run(channels))
    await crowd.all_served.wait()
    crowd.all_marked.set()
    print(json.dumps({"tries": crowd.tries}), flush=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        crowd.mark(late=text.strip() == LATE)
        spent = time.process_time()
        print(json.dumps({"marked": True}), flush=True)
        await crowd.all_marked.wait()
        cpu = time.process_time() - spent
        print(json.dumps({"first": crowd.first, "last": crowd.last, "cpu": cpu}), flush=True)
    running.cancel()
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], int(sys.argv[6]), *sys.argv[7:])
    )
