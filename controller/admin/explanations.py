"""A rollout's past: the evidence over time, the decisions, the windows that it was judged by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.admin.messages import event_message, reason_message
from controller.admin.request_fields import after_of
from controller.admin.service_reader import ServiceReader
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Code, Refusal
from controller.core.history.evidence_trace import EvidencePoint
from controller.core.history.recording import Recording
from controller.core.history.window_record import WindowRecord
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import LedgerLine
from controller.core.traffic.latency_buckets import EDGES_MS, bucket_of
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.core.traffic.window import Sample
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.recordings import Recordings
from controller.runtime.operations import Operations
from controller.runtime.store_requests import find_state

PAGE = 1000
"""Lines of the ledger read at once."""


class Explanations:
    """The ledger and the recordings, as one."""

    def __init__(self, operations: Operations, reader: ServiceReader, recordings: Recordings) -> None:
        self._operations = operations
        self._reader = reader
        self._recordings = recordings

    async def explain(self, request: pb.ExplainRolloutRequest, _caller: Caller) -> pb.Explanation:
        """Why a rollout stands where it stands, or ended as it did."""
        if request.sequence:
            line = await self._line(request.sequence)
            if line.entry.services != (request.service,):
                raise Refusal(Code.NOT_FOUND, f"line {request.sequence} is of {line.entry.scope}")
            return await self._explained(request.service, _rollout_of(line), pb.Explanation())
        view = await self._reader.view()
        state = find_state(view, request.service)
        if state.rollout is None:
            raise Refusal(Code.NO_ROLLOUT, f"{state.name} has had no rollout: there is nothing to explain")
        await self._reader.refresh([state.name])
        message = pb.Explanation(rollout=self._reader.rollout(state, view))
        return await self._explained(state.name, state.rollout.id, message)

    async def recording(self, request: pb.GetRecordingRequest, caller: Caller) -> pb.Recording:
        """What the rollout of a ledger line was judged by."""
        line = await self._line(request.sequence)
        caller.require(Permission.VIEW, line.entry.services)
        rollout_id = _rollout_of(line)
        recording = await self._recordings.find(rollout_id)
        if recording is None:
            raise Refusal(Code.NOT_FOUND, f"the windows of that rollout ({rollout_id}) are not kept, or no longer")
        lines = await self._lines(line.entry.scope, rollout_id)
        return recording_message(recording, lines)

    async def _explained(self, service: str, rollout_id: str, message: pb.Explanation) -> pb.Explanation:
        lines = await self._lines(service, rollout_id)
        message.service, message.rollout_id = service, rollout_id
        message.canary = next((str(line.entry.details["canary"]) for line in lines), message.rollout.canary)
        message.stable = message.rollout.stable
        message.decided = _decided(lines)
        message.decisions.extend(map(event_message, lines))
        recording = await self._recordings.find(rollout_id)
        if recording is None:
            message.missing = "its evidence was not recorded, or is no longer kept"
            for point, limit in _stored_points(lines, message.canary):
                message.history.append(_point_message(point))
                message.limit = limit
            return message
        message.stable, message.limit = recording.stable, recording.limit
        message.channels.extend(map(reason_message, recording.channels))
        message.gates.extend(map(reason_message, recording.gates))
        message.history.extend(map(_point_message, recording.trace.points))
        return message

    async def _line(self, sequence: int) -> LedgerLine:
        after = max(0, after_of(sequence) - 1)
        lines = await self._operations.events(service="", after=after, limit=1)
        if not sequence or not lines or lines[0].sequence != sequence:
            raise Refusal(Code.NOT_FOUND, f"the ledger has no line {sequence}, or no longer")
        return lines[0]

    async def _lines(self, service: str, rollout_id: str) -> list[LedgerLine]:
        """The ledger's lines of a rollout, oldest first."""
        lines: list[LedgerLine] = []
        after = 0
        while True:
            page = await self._operations.events(service=service, after=after, limit=PAGE)
            lines += [line for line in page if line.entry.details.get("rollout") == rollout_id]
            if len(page) < PAGE:
                return lines
            after = page[-1].sequence


def _rollout_of(line: LedgerLine) -> str:
    rollout_id = line.entry.details.get("rollout")
    if not isinstance(rollout_id, str):
        raise Refusal(Code.NOT_FOUND, f"line {line.sequence} ({line.entry.kind}) is of no rollout")
    return rollout_id


def _decided(lines: Sequence[LedgerLine]) -> str:
    """The channel that decided on the rollback, if automation did."""
    for line in reversed(lines):
        reasons = line.entry.details.get("reasons")
        if line.entry.kind == LedgerKind.ROLLBACK and isinstance(reasons, list) and reasons:
            first = reasons[0]
            return str(first.get("channel") or first.get("code")) if isinstance(first, Mapping) else ""
    return ""


def _stored_points(lines: Sequence[LedgerLine], canary: str) -> Iterator[tuple[EvidencePoint, float]]:
    """The evidence at each decision and its limit, as stored in the ledger's lines."""
    for line in lines:
        evidence = line.entry.details.get("evidence")
        if isinstance(evidence, dict):
            stored: dict[str, Any] = evidence
            weight = line.entry.weights_before.get(canary, 0)
            yield EvidencePoint.from_plain(stored, line.at, weight), float(stored["limit"])


def _point_message(point: EvidencePoint) -> pb.EvidencePoint:
    return pb.EvidencePoint(
        time=point.time,
        at=point.wall,
        weight=point.weight,
        total=point.total,
        harm=point.harm,
        no_harm=point.no_harm,
        worse=point.worse,
    )


def recording_message(recording: Recording, lines: Sequence[LedgerLine]) -> pb.Recording:
    """A recording, with the ledger's lines of its rollout."""
    return pb.Recording(
        service=recording.service,
        rollout_id=recording.rollout_id,
        stable=recording.stable,
        canary=recording.canary,
        edges_ms=[*EDGES_MS, float("inf")],
        windows=map(_window_message, recording.windows.records()),
        dropped=recording.windows.dropped,
        decisions=map(event_message, lines),
    )


def _window_message(record: WindowRecord) -> pb.RecordedWindow:
    return pb.RecordedWindow(
        since=record.since,
        until=record.at,
        at=record.wall,
        weight=record.weight,
        stable=_sample_message(record.stable),
        canary=_sample_message(record.canary),
        custom={name: _reading_message(reading) for name, reading in record.custom.items()},
        strata=[
            pb.RecordedStratum(name=each.name, stable=_sample_message(each.stable), canary=_sample_message(each.canary))
            for each in record.strata
        ],
    )


def _reading_message(reading: Reading) -> pb.RecordedReading:
    match reading:
        case Counted():
            return pb.RecordedReading(counts=pb.RecordedCounts(**reading._asdict()))
        case Gauged(canary, stable, higher, k, n, slack):
            values = pb.RecordedValues(canary=canary, stable=stable, higher=higher, decisive=k, readings=n, slack=slack)
            return pb.RecordedReading(values=values)
        case Unread(why, heard):
            return pb.RecordedReading(unread=pb.RecordedUnread(why=why, heard=heard))


def _sample_message(sample: Sample | None) -> pb.RecordedSample | None:
    if sample is None:
        return None
    return pb.RecordedSample(
        started=sample.started,
        ok=sample.ok,
        errors=sample.errors,
        bucket=[bucket_of(edge) for edge, _ in sample.latency],
        count=[count for _, count in sample.latency],
        in_progress=sample.in_progress,
        cancelled=sample.cancelled,
        ttft_bucket=[bucket_of(edge) for edge, _ in sample.ttft],
        ttft_count=[count for _, count in sample.ttft],
    )
