"""What a worker serves the first process: its metrics (`haldane.worker.v1.Worker`)."""

import asyncio
from collections.abc import Callable

import grpc
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from controller.pb.haldane.worker.v1 import worker_pb2 as pb
from controller.process.raw_messages import as_is
from controller.workers.worker_metrics import read_families, write_families

SERVICE = "haldane.worker.v1.Worker"
ANSWER_WITHIN = 3.0
"""Seconds for the metrics of a worker; without an answer a scrape goes without them."""

log = structlog.get_logger()


def metrics_handlers(read: Callable[[], CollectorRegistry]) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
    """For a socket of this user's own; `read` returns what holds now, to be encoded in a thread."""

    async def answer(_data: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        families = await asyncio.to_thread(write_families, read())
        return pb.Metrics(families=families).SerializeToString()

    methods = {"ReadMetrics": grpc.unary_unary_rpc_method_handler(answer)}
    return (grpc.method_handlers_generic_handler(SERVICE, methods),)


async def read_metrics(address: str, worker: int) -> list[Metric]:
    """The metrics of the worker at that address; none without an answer."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ReadMetrics", as_is, as_is)
        try:
            data = await call(pb.MetricsRequest().SerializeToString(), timeout=ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            log.warning("worker_metrics_missing", worker=worker, reason=f"{error.code().name}: {error.details()}")
            return []
    return await asyncio.to_thread(read_families, pb.Metrics.FromString(data).families, worker)
