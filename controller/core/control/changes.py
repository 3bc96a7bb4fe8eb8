"""How an act is put to the store: as a change with its ledger line."""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.change import Change
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.state import ServiceState


def change_of(
    state: ServiceState,
    decision: Decision,
    who: str,
    fingerprint: str,
    change_id: str,
    verdict: Verdict | None = None,
    evidence: Mapping[str, JsonValue] | None = None,
) -> Change:
    """The change that makes a decision true. `state` is the one it was decided on, `verdict` what was seen then, and
    `evidence` how every channel stood. ValueError for a decision to wait, which is no change."""
    if decision.kind is None:
        raise ValueError("a decision to wait is no change")
    entry = entry_of(decision.kind, who, decision.reason, state.name, state.weights, decision.state.weights)
    rollout = decision.state.rollout
    if rollout:
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
        entry = entry.model_copy(update={"details": details})
    return Change(
        id=change_id,
        fingerprint=fingerprint,
        act=decision.act,
        entry=entry,
        service=state.name,
        expects=state.revision,
        state=decision.state,
    )


def entry_of(
    kind: LedgerKind,
    who: str,
    why: str,
    service: str,
    before: dict[str, int] | None = None,
    after: dict[str, int] | None = None,
) -> Entry:
    """A line about that service, with its weights before and after."""
    return Entry(kind=kind, service=service, who=who, why=why, weights_before=before or {}, weights_after=after or {})


def fingerprint_of(*words: str) -> str:
    """What a request says, short: a retry has the same, and another request under the same id has not."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
