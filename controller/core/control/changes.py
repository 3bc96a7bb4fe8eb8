"""How a decision is put to the store: as a change with its ledger line."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Rollout
from controller.core.model.service_state import ServiceState


class Origin(NamedTuple):
    """Where a change comes from: who makes it, and the id and fingerprint by which a retry is recognised."""

    who: Actor
    change_id: str
    fingerprint: str


def change_of(
    state: ServiceState,
    decision: Decision,
    origin: Origin,
    verdict: Verdict | None = None,
    evidence: Mapping[str, JsonValue] | None = None,
) -> Change:
    """The change that applies a decision; ValueError for a decision to wait, which changes nothing.

    `state` is the one that it was decided on, `verdict` the newest then, `evidence` how every channel stood.
    """
    if decision.kind is None:
        raise ValueError("a decision to wait is no change")
    rollout = decision.state.rollout
    entry = Entry(
        kind=decision.kind,
        services=(state.name,),
        who=origin.who.name,
        proof=origin.who.proof,
        why=decision.reason,
        weights_before=state.weights,
        weights_after=decision.state.weights,
        details=_details(rollout, verdict, evidence) if rollout else {},
    )
    return Change(
        id=origin.change_id,
        fingerprint=origin.fingerprint,
        act=decision.act,
        entry=entry,
        service=state.name,
        expects=state.revision,
        state=decision.state,
    )


def _details(
    rollout: Rollout, verdict: Verdict | None, evidence: Mapping[str, JsonValue] | None
) -> dict[str, JsonValue]:
    """What a ledger line keeps of a rollout at a decision."""
    details: dict[str, JsonValue] = {
        "rollout": rollout.id,
        "canary": rollout.canary,
        "phase": rollout.phase.value,
        "step": rollout.step,
    }
    if verdict:
        details["verdict"] = verdict.outcome.value
        details["reasons"] = [{**reason.plain()} for reason in verdict.reasons]
    if evidence:
        details["evidence"] = {**evidence}
    return details


def fingerprint_of(*words: str) -> str:
    """SHA-256 of what a request asks for: a retry has the same, another request under the same id has not."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
