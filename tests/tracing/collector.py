"""A collector on the loopback that takes spans by OTLP over HTTP, and that can be told not to respond."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.http_server import http_server


@dataclass
class Collector:
    """Keeps what it was sent. While `responds` is not set, requests are taken and not answered."""

    url: str = ""
    responds: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    resources: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        self.requests += 1
        body = await request.read()
        await self.responds.wait()
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({each.key: each.value.string_value for each in group.resource.attributes})
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def traces(self) -> list[dict[str, list[Span]]]:
        """By trace: its spans by name."""
        found: dict[bytes, dict[str, list[Span]]] = {}
        for span in self.spans:
            found.setdefault(span.trace_id, {}).setdefault(span.name, []).append(span)
        return list(found.values())


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector until the end of the block."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with http_server(app) as collector.url:
        try:
            yield collector
        finally:
            collector.responds.set()
