"""The text of `explain`, for a person who was woken up: the answer first, then the evidence.

Pure.
"""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from controller.cli.text.evidence_tables import harm_evidence, no_harm_evidence
from controller.cli.text.lines import awaited, event_line, freeze_line
from controller.cli.text.values import format_actor, format_span, format_time
from controller.cli.text.watch_screen import ENDED
from controller.core.base.text import clean
from controller.core.base.units import format_weight
from controller.core.control.blocker import BlockerKind
from controller.core.model.ledger_kind import LedgerKind
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def render_explanation(explanation: pb.Explanation, now: float) -> RenderableType:
    """All of it. `now` is Unix seconds."""
    return Group(
        _head(explanation),
        *_answer(explanation, now),
        Text(),
        *harm_evidence(explanation),
        *no_harm_evidence(explanation),
        Text(),
        *_decisions(explanation, now),
    )


def _head(explanation: pb.Explanation) -> Text:
    versions = f"  {clean(explanation.canary)} against {clean(explanation.stable)}"
    line = Text.assemble((clean(explanation.service), "bold"), versions)
    phase = explanation.rollout.phase if explanation.HasField("rollout") else "an earlier rollout"
    weight = explanation.rollout.weights.get(explanation.canary, 0)
    return line.append(f"  {phase}" + (f" at {format_weight(weight)}" if weight else ""))


def _answer(explanation: pb.Explanation, now: float) -> Iterator[RenderableType]:
    """The newest decision, its evidence, and what the rollout waits for now."""
    decisions = explanation.decisions
    if decisions:
        newest = next((e for e in reversed(decisions) if e.kind == LedgerKind.ROLLBACK), decisions[-1])
        by = f" on {explanation.decided}" if explanation.decided and newest.kind == LedgerKind.ROLLBACK else ""
        when = f"{format_time(newest.at, now)}, {format_span(now - newest.at)} ago"
        yield Text(f"{newest.kind} by {clean(format_actor(newest))}{by}, {when}:", "bold")
        yield Padding(Text(clean(newest.why)), (0, 0, 0, 2))
    if explanation.HasField("rollout"):
        yield from _now(explanation.rollout)


def _now(rollout: pb.Rollout) -> Iterator[RenderableType]:
    """What blocks the rollout.

    The gate's evidence has its own table, and a pause is the newest decision above.
    """
    blockers = awaited(rollout) if rollout.blocker.kind != BlockerKind.PAUSE else []
    for reason in (*map(freeze_line, rollout.freezes), *blockers):
        yield Text(f"now: {clean(reason)}")
    if rollout.phase in ENDED or not rollout.verdict:
        return
    yield Text(f"now: the verdict is {rollout.verdict}", "bold" if rollout.verdict == "harm" else "")
    reasons = [detail.text for detail in rollout.details if detail.code != "insufficient"]
    if len(reasons) < len(rollout.details):
        reasons.append("not all of the gate's metrics are shown to be harmless yet: see below")
    for text in reasons:
        yield Padding(Text(clean(text)), (0, 0, 0, 2))


def _decisions(explanation: pb.Explanation, now: float) -> Iterator[RenderableType]:
    yield Text("the ledger", "bold")
    for event in explanation.decisions:
        yield Padding(Text(event_line(event, now)), (0, 0, 0, 2))
