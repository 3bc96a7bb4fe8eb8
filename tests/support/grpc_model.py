"""A gRPC model server that answers with its version, and fails with a status as a test sets it to."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from tests.support.process import free_port

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class GrpcModelServer:
    """Serves one method. `errors` is the share of calls that end with `code`."""

    version: str
    port: int = field(default_factory=free_port)
    errors: float = 0.0
    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    health: str = "SERVING"
    """What the health service answers."""
    hangs: bool = False
    """Whether it takes calls and never answers them."""

    def __post_init__(self) -> None:
        self._dice = random.Random(self.version)
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, for a service file."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    async def start(self) -> None:
        """Listen."""
        _, service, method = METHOD.split("/")
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        check = grpc.unary_unary_rpc_method_handler(self._check)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),)
        )
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def crash(self) -> None:
        """Cut every call and stop listening."""
        if self._server:
            await self._server.stop(0)

    async def _check(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(self.health)
        answer: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        return answer

    async def _answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if self.hangs:
            await asyncio.sleep(3600)
        if self._dice.random() < self.errors:
            await context.abort(self.code, f"{self.version} fails")
        return self.version.encode()


@contextlib.asynccontextmanager
async def steady_calls(port: int, rate: float) -> AsyncIterator[Counter[str]]:
    """Calls to that port while the block runs: how many were answered by which version, or ended with which code."""
    seen: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calling = asyncio.create_task(_call_steadily(channel, rate, seen))
        try:
            yield seen
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling


async def _call_steadily(channel: grpc.aio.Channel, rate: float, seen: Counter[str]) -> None:
    call = channel.unary_unary(METHOD)  # type: ignore[call-arg]

    async def one() -> None:
        try:
            seen[(await call(b"", timeout=5)).decode()] += 1
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1

    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as calls:
        for number in range(round(240 * rate)):
            await asyncio.sleep(max(0.0, begun + number / rate - asyncio.get_running_loop().time()))
            calls.create_task(one())
