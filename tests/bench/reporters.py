"""Many proxies that report, in a process of their own: they replay recorded messages, each as fast as it is taken.

Started by the benchmark of the intake with the method, the number of proxies, how many messages each sends, and a file
with the messages. For each address that it reads it replays them there, and writes the number of messages that were
taken.
"""

import asyncio
import json
import sys
from pathlib import Path

import grpc

from controller.pb.haldane.wire.v1 import load_stats_pb2, metrics_pb2

CONNECTIONS = 10
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))


def first_of(method: str, message: bytes, number: int, prefix: str = "bench") -> bytes:
    """The first message of a proxy: the recorded one, under a name of its own. The later of two nodes counts."""
    name = f"{prefix}-{number}"
    if method.endswith("StreamLoadStats"):
        node = load_stats_pb2.LoadReporter(id=name, cluster="edge")
        return message + load_stats_pb2.LoadStatsRequest(node=node).SerializeToString()
    identifier = metrics_pb2.MetricsIdentifier(node=metrics_pb2.MetricsReporter(id=name, cluster="edge"))
    return message + metrics_pb2.StreamMetricsMessage(identifier=identifier).SerializeToString()


async def report(channel: grpc.aio.Channel, method: str, messages: list[bytes], number: int, each: int) -> int:
    """One proxy: so many messages, until the server has taken them all."""
    stream = channel.stream_stream if method.endswith("StreamLoadStats") else channel.stream_unary
    call = stream(method)()
    await call.write(first_of(method, messages[0], number))
    for index in range(each - 1):
        await call.write(messages[1 + index % (len(messages) - 1)])
    await call.done_writing()
    while method.endswith("StreamLoadStats") and await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        pass
    code = await call.code()
    assert code is grpc.StatusCode.OK, await call.details()
    return each


def read_messages(file: str) -> list[bytes]:
    """The recorded messages."""
    return [bytes.fromhex(text) for text in json.loads(Path(file).read_text())]


async def main(method: str, proxies: int, each: int, messages: list[bytes]) -> None:
    """Until standard input ends."""
    while address := (await asyncio.to_thread(sys.stdin.readline)).strip():
        channels = [grpc.aio.insecure_channel(address, options=OPTIONS) for _ in range(CONNECTIONS)]
        sent = await asyncio.gather(
            *(report(channels[n % CONNECTIONS], method, messages, n, each) for n in range(proxies))
        )
        for channel in channels:
            await channel.close()
        print(sum(sent), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), read_messages(sys.argv[4])))
