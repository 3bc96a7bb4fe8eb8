"""`backtest`: a rollout that is over, judged again by another policy."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import click

from controller.cli.admin_client import AdminClient
from controller.cli.commands.judge import declared_service
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.text.lines import event_line
from controller.cli.text.numbers import format_e_value
from controller.cli.text.values import format_span, format_time
from controller.core.base.text import clean
from controller.core.base.units import counted, format_weight
from controller.core.history.backtest import Backtest, BacktestDecision, run_backtest
from controller.core.history.window_record import WindowRecord
from controller.core.model.ledger_kind import LedgerKind
from controller.core.traffic.latency_buckets import EDGES_MS, UPPER, with_edges
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.core.traffic.window import Sample, Stratum
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

OUTCOMES = (LedgerKind.ROLLBACK, LedgerKind.PROMOTED, LedgerKind.ROLLBACK_SUPPRESSED, LedgerKind.NO_HEALTHY_UPSTREAM)
"""The kinds of ledger lines that say how a rollout went."""


@click.command()
@click.option("--from", "sequence", type=click.IntRange(min=1), required=True, help="Any ledger line of the rollout.")
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="The service file whose policy judges.")
@client_options
@click.pass_obj
def backtest(call: Invocation, sequence: int, path: str) -> None:
    """Judge a past rollout again by another policy: would it have been rolled back, when, and why?

    The windows are those that were seen, at the weights that were served. Of FILE only the policy counts.
    """
    policy = declared_service(path).policy
    with AdminClient(call.endpoint()) as client:
        recording = client.call("Ledger/GetRecording", pb.GetRecordingRequest(sequence=sequence), pb.Recording)
    records = read_records(recording)
    if not records:
        raise Failure(Exit.NOT_POSSIBLE, "nothing was recorded of that rollout", code="NOT_POSSIBLE")
    result = run_backtest(policy, recording.stable, recording.canary, records)
    if call.json:
        print_json(_document(recording, records, result))
        return
    for line in _format_lines(recording, records, result, path, time.time()):
        click.echo(line)


def read_records(recording: pb.Recording) -> list[WindowRecord]:
    """The windows of a recording; `Failure` if their buckets are of another version of Haldane."""
    if tuple(recording.edges_ms[:-1]) != EDGES_MS:
        hint = "use the `haldane` of the controller's version"
        raise Failure(Exit.FAILED, "the windows have other latency buckets than this program knows", hint=hint)
    return [
        WindowRecord(w.since, w.until, w.at, w.weight, *_sides(w), _custom(w), _strata(w)) for w in recording.windows
    ]


def _strata(window: pb.RecordedWindow) -> tuple[Stratum, ...]:
    return tuple([Stratum(each.name, *_sides(each)) for each in window.strata])


def _sides(message: pb.RecordedWindow | pb.RecordedStratum) -> tuple[Sample | None, Sample | None]:
    """Stable's sample and the canary's."""
    stable = _sample(message.stable) if message.HasField("stable") else None
    return stable, _sample(message.canary) if message.HasField("canary") else None


def _custom(window: pb.RecordedWindow) -> Mapping[str, Reading]:
    return {name: _reading(message) for name, message in window.custom.items()}


def _reading(message: pb.RecordedReading) -> Reading:
    match message.WhichOneof("reading"):
        case "counts":
            counts = message.counts
            return Counted(counts.canary_n, counts.canary_x, counts.stable_n, counts.stable_x)
        case "values":
            v = message.values
            stable = v.stable if v.HasField("stable") else None
            return Gauged(v.canary, stable, v.higher, v.decisive, v.readings, v.slack)
        case _:
            return Unread(message.unread.why, message.unread.heard)


def _sample(message: pb.RecordedSample) -> Sample:
    latency = with_edges(dict(zip(message.bucket, message.count, strict=True)))
    ttft = with_edges(dict(zip(message.ttft_bucket, message.ttft_count, strict=True)))
    in_progress = message.in_progress if message.HasField("in_progress") else None
    errors = dict(message.errors)
    return Sample(message.started, message.ok, errors, latency, UPPER, in_progress, message.cancelled, ttft)


def _document(recording: pb.Recording, records: Sequence[WindowRecord], result: Backtest) -> dict[str, Any]:
    fired = result.rollback
    return {
        "service": recording.service,
        "rollout_id": recording.rollout_id,
        "stable": recording.stable,
        "canary": recording.canary,
        "windows": len(records),
        "dropped": recording.dropped,
        "seconds": records[-1].at,
        "missing_seconds": _missing_seconds(records),
        "left_out": list(result.left_out),
        "fired": fired is not None,
        "fired_at": fired.wall if fired else None,
        "fired_after": fired.time if fired else None,
        "channel": _channel(fired) if fired else None,
        "phase": result.phase.value,
        "limit": result.limit,
        "peak": result.peak,
        "peaks": result.peaks,
        "decisions": [_decision_document(decision) for decision in result.decisions],
        "really": [plain(event) for event in recording.decisions],
    }


def _decision_document(decision: BacktestDecision) -> dict[str, Any]:
    return {
        "time": decision.time,
        "at": decision.wall,
        "kind": decision.kind.value,
        "why": decision.why,
        "served": decision.served,
        "weight": decision.weight,
        "verdict": decision.verdict.outcome.value,
        "reasons": [reason.plain() for reason in decision.verdict.reasons],
    }


def _format_lines(
    recording: pb.Recording, records: Sequence[WindowRecord], result: Backtest, path: str, now: float
) -> Iterator[str]:
    yield (
        f"{clean(recording.service)}: {clean(recording.canary)} against {clean(recording.stable)}, "
        f"{format_span(records[-1].at)} on record in {counted(len(records), 'window')}"
    )
    if recording.dropped:
        yield f"gone: the first {counted(recording.dropped, 'window')}; the evidence begins after that"
    if lost := _missing_seconds(records):
        gap = format_span(lost)
        yield f"{gap} of it are missing, as the controller was killed: they are judged as time without reports"
    if result.left_out:
        yield (
            f"left out, since nothing is on record: {', '.join(result.left_out)}; what would have come of "
            f"{'it' if len(result.left_out) == 1 else 'them'} is not known"
        )
    yield ""
    yield "really"
    for event in recording.decisions:
        yield f"  {event_line(event, now)}"
    yield ""
    yield f"by {path}"
    for decision in result.decisions:
        served = "" if decision.served == decision.weight else f", {format_weight(decision.served)} was served"
        decided = f"{decision.kind.value} ({format_weight(decision.weight)}{served})"
        yield f"  {format_time(decision.wall, now)} {decided}: {clean(decision.why)}"
    yield ""
    yield _format_conclusion(recording, result)


def _format_conclusion(recording: pb.Recording, result: Backtest) -> str:
    """Would it have fired? And in comparison with what happened."""
    really = next((event for event in recording.decisions if event.kind in OUTCOMES), None)
    fired = result.rollback
    if fired is None:
        name = max(result.peaks, key=lambda channel: result.peaks[channel])
        evidence = f"{format_e_value(result.peak)} of {format_e_value(result.limit)}"
        text = f"it would not have fired: the evidence of harm reached {evidence}, most of it on {name}"
        return f"{text}; really: {really.kind}" if really else text
    text = f"it would have fired after {format_span(fired.time)}, on {_channel(fired)}"
    if really is None or really.kind == LedgerKind.PROMOTED:
        return f"{text}; really it did not"
    late = fired.wall - really.at
    if abs(late) < 1.0:
        return f"{text}; really it did then, too"
    return f"{text}; really it did {format_span(abs(late))} {'earlier' if late > 0 else 'later'}"


def _missing_seconds(records: Sequence[WindowRecord]) -> float:
    """Seconds of observation that no window tells of."""
    return sum(after.since - before.at for before, after in pairwise(records) if after.since > before.at)


def _channel(decision: BacktestDecision) -> str:
    first = decision.verdict.reasons[0] if decision.verdict.reasons else None
    return (first.channel or first.code) if first else decision.kind.value
