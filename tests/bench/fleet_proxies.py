"""A fleet of proxies that report as Envoys do, in a process of their own: each has a connection of its own, an xDS
stream, sends load reports at the interval that it is told, and two flushes of metrics a second, replayed from a
recording.

Started by the benchmarks with the controller's address, or several with commas in between, over which the proxies are
spread; the number of proxies, a file with the messages, and what their names begin with. Each time that it reads a
line, it writes how many proxies stand, how many streams the controller ended, and how many messages were sent so far.
From the line `fail` on, every request to a version v2 fails.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

import grpc

from controller.pb.haldane.wire.v1.discovery_pb2 import Node
from controller.pb.haldane.wire.v1.load_stats_pb2 import LoadStatsRequest, LoadStatsResponse
from controller.telemetry.load_reporting_service import SERVICE as LRS
from controller.telemetry.metrics_service import SERVICE as METRICS
from controller.xds.resources.type_urls import CDS
from tests.bench.crowd import OPENING
from tests.bench.reporters import OPTIONS, first_of
from tests.xds.local_server import ADS, RawClient

FLUSH = 0.5
"""Seconds between two flushes of metrics, as in the bootstrap."""
JOINED_WITHIN = 600.0
"""Seconds in which a proxy must have its clusters: as long as the benchmark lasts."""
NAME, FAIL = "bench", "fail"
Call = grpc.aio.StreamStreamCall | grpc.aio.StreamUnaryCall
LOADS, FLUSHES = f"/{LRS}/StreamLoadStats", f"/{METRICS}/StreamMetrics"


class Fleet:
    """All the proxies, and what they have sent."""

    def __init__(self, loads: list[bytes], metrics: list[bytes], name: str = NAME) -> None:
        self._loads = loads
        self._metrics = metrics
        self._name = name
        self._connected: list[RawClient] = []
        self._gate = asyncio.Semaphore(OPENING)
        self.sent = self.standing = self.lost = 0

    async def run(self, channels: list[grpc.aio.Channel]) -> None:
        """A proxy on each channel, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number, channel in enumerate(channels):
                tasks.create_task(self._run_proxy(channel, number, begins=FLUSH * number / len(channels)))

    def fail(self) -> None:
        """From now on, every request to a version v2 fails."""
        self._loads = [self._loads[0], *map(failing, self._loads[1:])]

    async def _run_proxy(self, channel: grpc.aio.Channel, number: int, *, begins: float) -> None:
        """Each begins to report at another moment, so that they do not report all at once."""
        try:
            async with self._gate:
                await self._connect(channel, number)
            await asyncio.sleep(begins)
            loads, flushes = channel.stream_stream(LOADS)(), channel.stream_unary(FLUSHES)()
            await loads.write(first_of(LOADS, self._loads[0], number, self._name))
            told = LoadStatsResponse.FromString(await loads.read())
            await flushes.write(first_of(FLUSHES, self._metrics[0], number, self._name))
            self.standing += 1
            await asyncio.gather(self._report_loads(loads, told), self._flush(flushes))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the latter from a write to a call that has ended
            self.lost += 1

    async def _connect(self, channel: grpc.aio.Channel, number: int) -> None:
        """Open an xDS stream and ACK the clusters: else no report of the proxy counts."""
        client = RawClient(channel.stream_stream(f"{ADS}StreamAggregatedResources")())
        await client.send(type_url=CDS, node=Node(id=f"{self._name}-{number}", cluster="edge"))
        await client.accept(await client.read(within=JOINED_WITHIN))
        self._connected.append(client)

    async def _report_loads(self, call: Call, told: LoadStatsResponse) -> None:
        """At the newest interval that the controller has told."""
        interval = told.load_reporting_interval.ToTimedelta().total_seconds()
        reading = asyncio.ensure_future(call.read())
        while True:
            await asyncio.sleep(interval)
            if reading.done():
                newest = LoadStatsResponse.FromString(reading.result())
                interval = newest.load_reporting_interval.ToTimedelta().total_seconds()
                reading = asyncio.ensure_future(call.read())
            await call.write(self._loads[1 + self.sent % (len(self._loads) - 1)])
            self.sent += 1

    async def _flush(self, call: Call) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            await call.write(self._metrics[1 + self.sent % (len(self._metrics) - 1)])
            self.sent += 1


def read_recording(file: str) -> list[list[bytes]]:
    """The load reports, and the flushes of metrics."""
    return [[bytes.fromhex(text) for text in kind] for kind in json.loads(Path(file).read_text())]


def failing(data: bytes) -> bytes:
    """That load report, in which each request to a version v2 has failed."""
    report = LoadStatsRequest.FromString(data)
    for cluster in report.cluster_stats:
        if cluster.cluster_name.endswith("/v2"):
            for locality in cluster.upstream_locality_stats:
                locality.total_error_requests += locality.total_successful_requests
                locality.total_successful_requests = 0
    return report.SerializeToString()


async def main(address: str, proxies: int, recording: list[list[bytes]], name: str = NAME) -> None:
    """Until standard input ends."""
    servers = address.split(",")
    channels = [grpc.aio.insecure_channel(servers[n % len(servers)], options=OPTIONS) for n in range(proxies)]
    fleet = Fleet(*recording, name)
    running = asyncio.create_task(fleet.run(channels))
    while text := await asyncio.to_thread(sys.stdin.readline):
        if text.strip() == FAIL:
            fleet.fail()
        if running.done():
            await running  # raises what ended it
        print(json.dumps([fleet.standing, fleet.lost, fleet.sent]), flush=True)
    running.cancel()
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), read_recording(sys.argv[3]), *sys.argv[4:]))
