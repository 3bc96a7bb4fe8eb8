"""How long a response may wait for room, on one connection without a network."""

import asyncio

import grpc
import pytest

from controller.process.clock import SystemClock
from controller.process.right_of_way import RightOfWay
from controller.xds.connection import Connection, StreamOptions
from controller.xds.limits import Limits
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.type_urls import RDS
from controller.xds.server import XdsServer
from controller.xds.shared_steps import SharedSteps
from controller.xds.stream_error import StreamError
from tests.support.waiting import wait_until
from tests.xds.local_server import request
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"


class Reader:
    """A gRPC context whose client takes so many responses, and then no more."""

    def __init__(self, takes: int) -> None:
        self._takes = takes
        self.written: list[float] = []
        self.requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def send_initial_metadata(self, _metadata: object) -> None:
        """Nothing to tell."""

    def peer(self) -> str:
        """Where the client is."""
        return "ipv4:127.0.0.1:1"

    def auth_context(self) -> dict[str, list[bytes]]:
        """Nothing is proved of the client."""
        return {}

    async def read(self) -> bytes:
        """The next request."""
        return await self.requests.get()

    async def write(self, _data: bytes) -> None:
        """Returns once the client has taken it."""
        self.written.append(asyncio.get_running_loop().time())
        if len(self.written) > self._takes:
            await asyncio.Event().wait()


@pytest.mark.parametrize("takes", [0, 1, 3])
async def test_each_response_has_its_whole_write_timeout(takes: int) -> None:
    """The one that is not taken ends the stream then, and not before."""
    limits, clock, reader = Limits(write=0.5), SystemClock(), Reader(takes)
    xds = XdsServer(clock=clock, limits=limits)
    xds.publish(view(1, service()))
    options = StreamOptions(StreamState(delta=False), "", limits, clock, SharedSteps("haldane/test"), RightOfWay())
    connection = Connection(reader, xds, options)  # type: ignore[arg-type]
    serving = asyncio.create_task(connection.serve())
    reader.requests.put_nowait(request(type_url=RDS, resource_names=[TABLE], node="edge-1"))
    for number in range(1, takes + 1):
        await wait_until(lambda number=number: len(reader.written) == number)
        xds.publish(view(1 + number, service(canary=("v2", 500 + number))))
        reader.requests.put_nowait(request(type_url=RDS, resource_names=[TABLE], nonce=str(number)))
    with pytest.raises(StreamError) as ended:
        await asyncio.wait_for(serving, 30)
    assert ended.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert asyncio.get_running_loop().time() - reader.written[-1] > limits.write - 0.01
