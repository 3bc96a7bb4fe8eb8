"""Spans by OTLP: what arrives at a collector, one that does not respond, and a real rollout's traces."""

import sys
import threading
import time

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from controller.assembly.open_traces import opened_traces
from controller.demo.harness.child_processes import Children
from controller.ports.decision_tracer import NO_TRACES
from controller.process.servers import Unstartable
from controller.settings import Settings
from controller.tracing.decision_traces import Span
from controller.tracing.otlp import CLOSE_WITHIN, QUEUE, OtlpSink
from tests.fakes.clock import FakeClock
from tests.support.load import steady
from tests.support.system import FLEET, QUICK, running_system
from tests.support.waiting import wait_until
from tests.tracing.collector import Collector, collecting

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
MILLISECOND = 1_000_000
"""Of two clocks that are read one after the other."""
SPANS = ("decision", "report", "tick", "commit", "push", "ack")


async def test_a_collector_gets_a_trace_with_its_times_and_attributes() -> None:
    """The end of the controller sends what is queued."""
    async with collecting() as collector:
        collector.responds.set()
        sink = OtlpSink(collector.url, "here")
        root = sink.begin(Span("decision", 1_700_000_000.0, 1_700_000_001.5, {"haldane.weight": 0.05}))
        sink.add(root, Span("commit", 1_700_000_001.0, 1_700_000_001.5, {}, "frozen"))
        await sink.close()
        decision, commit = collector.spans
    assert (commit.trace_id, commit.parent_span_id) == (decision.trace_id, decision.span_id)
    assert (decision.parent_span_id, decision.name, commit.name) == (b"", "decision", "commit")
    assert decision.end_time_unix_nano - decision.start_time_unix_nano == 1_500_000_000
    assert [(each.key, each.value.double_value) for each in decision.attributes] == [("haldane.weight", 0.05)]
    assert (commit.status.message, decision.status.message) == ("frozen", "")
    (resource,) = collector.resources
    assert (resource["service.name"], resource["service.instance.id"]) == ("haldane", "here")


async def test_a_collector_that_does_not_respond_delays_nothing() -> None:
    """Neither spans beyond what waits for it, nor the end of the controller, which leaves no thread behind."""
    threads = set(threading.enumerate())
    async with collecting() as collector:
        sink = OtlpSink(collector.url, "here")
        root = sink.begin(Span("decision", 0.0, 1.0, {}))
        began, used = time.monotonic(), time.thread_time()
        for _ in range(2 * QUEUE):
            sink.add(root, Span("ack", 0.0, 1.0, {}))
        assert time.thread_time() - used < 2.0
        await wait_until(lambda: collector.requests)
        await sink.close()
        assert time.monotonic() - began < CLOSE_WITHIN + 5.0
    await wait_until(lambda: not [each for each in threading.enumerate() if _of_sdk(each) and each not in threads])


def _of_sdk(thread: threading.Thread) -> bool:
    return "otel" in thread.name.lower() or "shutdown" in thread.name


async def test_without_an_address_there_is_no_tracer_and_without_the_sdk_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reason says what to install. The variable of OpenTelemetry is an address too."""
    monkeypatch.delenv(OTLP, raising=False)
    async with opened_traces(Settings(store="sqlite:/x"), FakeClock()) as tracer:
        assert tracer is NO_TRACES
    monkeypatch.setenv(OTLP, "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "controller.tracing.otlp", None)
    with pytest.raises(Unstartable, match=r"haldane-canary\[otel\]"):
        async with opened_traces(Settings(store="sqlite:/x"), FakeClock()):
            pass


@pytest.mark.envoy
async def test_a_rollback_does_not_wait_for_the_collector_and_is_traced_once_it_responds(processes: Children) -> None:
    """From the report of harm to the ACK of a real Envoy."""
    async with (
        collecting() as collector,
        running_system(processes, policy=QUICK, settings={OTLP: collector.url}) as system,
        steady(system.entry, 100),
    ):
        system.models["v2"].behaviour.errors = 1.0
        await system.start()
        await system.reach("ROLLED_BACK")
        collector.responds.set()
        spans = await wait_until(lambda: whole_trace(collector, "rollback"))
        root, report, tick, commit, push, ack = spans
        assert all(each.parent_span_id == root.span_id for each in spans[1:])
        times = [root.start_time_unix_nano, report.end_time_unix_nano, tick.end_time_unix_nano, root.end_time_unix_nano]
        assert times == sorted(times)
        begins = (report.start_time_unix_nano, tick.start_time_unix_nano, commit.start_time_unix_nano)
        assert begins == pytest.approx(times[:3], abs=MILLISECOND)
        assert commit.end_time_unix_nano == pytest.approx(times[3], abs=MILLISECOND)
        pushed = push.start_time_unix_nano - MILLISECOND, push.end_time_unix_nano + MILLISECOND
        assert pushed[0] <= ack.start_time_unix_nano <= pushed[1]
        assert attributes(ack)["haldane.fleet"] == FLEET


def whole_trace(collector: Collector, decision: str) -> list[ProtoSpan] | None:
    """The spans of that decision, in order, once one of each has arrived."""
    for trace in collector.traces():
        if set(SPANS) <= trace.keys() and attributes(trace["decision"][0])["haldane.decision"] == decision:
            return [trace[name][0] for name in SPANS]
    return None


def attributes(span: ProtoSpan) -> dict[str, str]:
    """Its texts by name."""
    return {each.key: each.value.string_value for each in span.attributes}
