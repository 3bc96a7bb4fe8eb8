"""A controller that passes reports on, in a process of its own: it sends prepared messages, each after the answer to
the one before.

Started by the benchmark of the relay with a file of messages. For each address that it reads it sends them there, and
writes how many were answered.
"""

import asyncio
import sys

import grpc

from controller.relay.relay_client import METHOD
from tests.bench.reporters import OPTIONS, read_messages


async def send(address: str, messages: list[bytes]) -> int:
    """All of them, on one stream."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.stream_stream(METHOD)()
        for message in messages:
            await call.write(message)
            assert isinstance(await call.read(), bytes), await call.details()
    return len(messages)


async def main(messages: list[bytes]) -> None:
    """Until standard input ends."""
    while address := (await asyncio.to_thread(sys.stdin.readline)).strip():
        print(await send(address, messages), flush=True)


if __name__ == "__main__":
    asyncio.run(main(read_messages(sys.argv[1])))
