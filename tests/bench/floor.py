"""The least that grpc.aio takes for a step, if nothing had to be thought of, and how fast the machine is just now.

A machine that others share changes its speed from minute to minute. Ratios to these two stay.
"""

import asyncio
import time
from typing import Any

import grpc

from controller.core.model.view import View
from controller.ports.proxy_observer import ProxyObserver
from controller.xds.connection import EOF, Context
from controller.xds.protocol.discovery import DiscoveryResponse
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import RDS
from controller.xds.server import ADS
from controller.xds.wire import nonce_field, serialize_delta_response, serialize_response


class Floor:
    """A bare handler on grpc.aio: one coroutine for each stream writes the bytes it is given and reads the answer."""

    def __init__(self, observer: ProxyObserver, kind: str, first: View) -> None:
        self._observer = observer
        self._kind = kind
        self._world = SnapshotCache()
        self._news: list[asyncio.Event] = []
        self.publish(first)

    def publish(self, newest: View) -> None:
        """Send everybody the bytes that the controller sends for that view."""
        self._world.update(newest)
        snapshot = self._world.snapshot("edge")
        assert snapshot
        tables = snapshot.catalogue(RDS)
        reply = DiscoveryResponse(RDS, tables.version, tuple(tables.listed.values()))
        serialize = serialize_delta_response if self._kind == "delta" else serialize_response
        self._body = serialize(reply, "haldane") + nonce_field(str(newest.revision))
        for news in self._news:
            news.set()

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[Any, Any], ...]":
        """For a port."""
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        names = ("StreamAggregatedResources", "DeltaAggregatedResources")
        return (grpc.method_handlers_generic_handler(ADS, dict.fromkeys(names, method)),)

    async def _serve(self, _requests: object, context: Context) -> None:
        news = asyncio.Event()
        self._news.append(news)
        await context.read()
        while True:
            await context.write(self._body)
            if await context.read() is EOF:
                return
            self._observer.on_ack("", "edge", RDS, 0.0)
            await news.wait()
            news.clear()


def multiplications() -> float:
    """Microseconds of CPU that a loop of a thousand multiplications takes now."""
    start, total = time.thread_time(), 0.0
    for number in range(100_000):
        total += number * 1.5
    return (time.thread_time() - start) * 1e6 / 100
