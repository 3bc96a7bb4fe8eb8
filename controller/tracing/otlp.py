"""Spans to a collector, by OTLP over HTTP: the SDK of OpenTelemetry, which is loaded only where traces are wanted.

A span is put into a bounded queue; a thread of the SDK sends batches. A collector that is away, slow or full loses
spans and delays nothing.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, Status, StatusCode, set_span_in_context

from controller import __version__
from controller.tracing.decision_traces import Span

QUEUE, BATCH = 2048, 256
"""Spans that wait, and of one request. A decision has five, and one for each of up to 64 proxies."""
DELAY_MS = 1000
"""Milliseconds for which spans are collected for one request."""
TIMEOUT = 5.0
"""Seconds for a request, with its repetitions."""
CLOSE_WITHIN = 2.0
"""Seconds for what is still queued at the end."""
PATH = "/v1/traces"

log = structlog.get_logger()


class OtlpSink:
    """Implements `SpanSink`. `endpoint` is the collector's address without a path, such as http://127.0.0.1:4318."""

    def __init__(self, endpoint: str, instance: str) -> None:
        # The SDK logs each failure on its own; `_LoggingExporter` says it once.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self._exporter = _LoggingExporter(OTLPSpanExporter(endpoint.rstrip("/") + PATH, timeout=TIMEOUT), endpoint)
        processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=QUEUE,
            max_export_batch_size=BATCH,
            schedule_delay_millis=DELAY_MS,
        )
        named = {"service.name": "haldane", "service.version": __version__, "service.instance.id": instance}
        # At exit it would wait for a collector that is away; `close` does not.
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("haldane", __version__)

    def begin(self, root: Span) -> Context:
        """Send the root of a trace."""
        return self._send(root, Context())

    def add(self, parent: Context, span: Span) -> None:
        """Send a span below that root."""
        self._send(span, parent)

    async def close(self) -> None:
        """Send what is queued, as far as it can be sent within two seconds; give the rest up."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_WITHIN)
        if closing.is_alive():
            self._exporter.shutdown()  # else the SDK's threads go on for five seconds with each batch that waits

    def _send(self, span: Span, context: Context) -> Context:
        sent = self._tracer.start_span(
            span.name, context=context, start_time=_nanoseconds(span.start), attributes=span.attributes
        )
        if span.error:
            sent.set_status(Status(StatusCode.ERROR, span.error))
        sent.end(end_time=_nanoseconds(span.end))
        return set_span_in_context(NonRecordingSpan(sent.get_span_context()), Context())


class _LoggingExporter(SpanExporter):
    """Logs when spans stop arriving at the collector, and when they arrive again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; those that fail are lost."""
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing != self._failing:
            self._failing = failing
            (log.warning if failing else log.info)("traces_lost" if failing else "traces_sent", to=self._endpoint)
        return result

    def shutdown(self) -> None:
        """End, and give up a request that is under way."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
