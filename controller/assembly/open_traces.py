"""The tracer that the settings ask for. OpenTelemetry is loaded only where traces are wanted."""

import contextlib
from collections.abc import AsyncIterator

from controller.ports.clock import Clock
from controller.ports.decision_tracer import NO_TRACES, DecisionTracer
from controller.process.servers import Unstartable
from controller.settings import Settings
from controller.tracing.decision_traces import DecisionTraces


@contextlib.asynccontextmanager
async def opened_traces(settings: Settings, clock: Clock) -> AsyncIterator[DecisionTracer]:
    """The tracer, whose last spans are sent at the end of the block. Raises `Unstartable` if the SDK is missing."""
    if settings.otlp_endpoint is None:
        yield NO_TRACES
        return
    try:
        from controller.tracing.otlp import OtlpSink  # takes 0.4 s to load, and is installed by an extra
    except ImportError as error:
        needed = "otlp_endpoint needs OpenTelemetry's SDK: pip install 'haldane-canary[otel]'"
        raise Unstartable(f"{needed} ({error})") from error
    sink = OtlpSink(settings.otlp_endpoint, settings.name)
    try:
        yield DecisionTraces(sink, clock)
    finally:
        await sink.close()
