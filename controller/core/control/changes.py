"""How an act is put to the store: as a change with its ledger line."""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.change import Change
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
    entry = Entry(
        kind=decision.kind,
        services=(state.name,),
        who=who,
        why=decision.reason,
        weights_before=state.weights,
        weights_after=decision.state.weights,
    )
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


def fingerprint_of(*words: str) -> str:
    """What a request says, short: a retry has the same, and another request under the same id has not."""
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
