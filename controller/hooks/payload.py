"""What hooks are sent: Flagger's webhook payload, and besides it the weights and the verdict."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from controller.core.base.text import clean_values
from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.hooks.hook import Hook, HookType

CONTENT_TYPE = "application/json"
NAMESPACE = "default"
"""Haldane has no namespaces; receivers made for Flagger make a key of namespace and name."""

PHASES: Mapping[Phase, str] = {
    Phase.IDLE: "Initialized",
    Phase.WARMING: "Progressing",
    Phase.PROGRESSING: "Progressing",
    Phase.PAUSED: "Waiting",
    Phase.AWAITING_APPROVAL: "Waiting",
    Phase.PROMOTING: "Promoting",
    Phase.BAKING: "Finalising",
    Phase.PROMOTED: "Succeeded",
    Phase.ROLLING_BACK: "Failed",
    Phase.ROLLED_BACK: "Failed",
}
"""Haldane's phases in Flagger's words."""
PHASE_WHILE_ASKING: Mapping[HookType, str] = {
    HookType.CONFIRM_ROLLOUT: "Waiting",
    HookType.CONFIRM_PROMOTION: "WaitingPromotion",
}
"""What Flagger calls the wait for these answers."""


def request_payload(hook: Hook, kind: HookType, state: ServiceState, verdict: Verdict | None) -> bytes:
    """The body of a request that a hook answers with its status."""
    body = _body(hook, kind, state)
    body["phase"] = PHASE_WHILE_ASKING.get(kind, body["phase"])
    if verdict:
        reasons: list[JsonValue] = [{"code": reason.code, "text": reason.text} for reason in verdict.reasons]
        body["verdict"] = {"outcome": verdict.outcome.value, "reasons": reasons}
    return json.dumps(clean_values(body)).encode()


def event_payload(hook: Hook, kind: HookType, state: ServiceState, line: LedgerLine, *, warning: bool) -> bytes:
    """The body that notifies of a ledger line: the service as it was when the line was written."""
    entry, body = line.entry, _body(hook, kind, state)
    then = entry.details
    if "phase" in then:
        body["phase"] = PHASES[Phase(str(then["phase"]))]
        body |= {"checksum": then["rollout"], "canary": then["canary"], "step": then["step"]}
    if entry.weights_after and entry.services == (state.name,):
        body["weights"] = dict(entry.weights_after)
    body["metadata"] = {
        **hook.metadata,
        "eventMessage": entry.why,
        "eventType": "Warning" if warning else "Normal",
        "eventKind": entry.kind,
        "timestamp": str(round(line.at * 1000)),
    }
    return json.dumps(clean_values(body)).encode()


def _body(hook: Hook, kind: HookType, state: ServiceState) -> dict[str, JsonValue]:
    rollout = state.rollout
    body: dict[str, JsonValue] = {
        "name": state.name,
        "namespace": NAMESPACE,
        "phase": PHASES[rollout.phase if rollout else Phase.IDLE],
        "checksum": rollout.id if rollout else "",
        "metadata": {**hook.metadata},
        "type": kind.value,
        "weights": {**state.weights},
    }
    return body | {"stable": rollout.stable, "canary": rollout.canary, "step": rollout.step} if rollout else body
