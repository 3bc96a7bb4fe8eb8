"""What a hook is sent: Flagger's webhook payload, with the weights and the verdict that Flagger's users ask for."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Phase
from controller.core.model.state import ServiceState
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
"""Our phases in Flagger's words."""
ASKED_IN: Mapping[HookType, str] = {
    HookType.CONFIRM_ROLLOUT: "Waiting",
    HookType.CONFIRM_PROMOTION: "WaitingPromotion",
}
"""What Flagger calls the wait for these answers."""


def question(hook: Hook, kind: HookType, state: ServiceState, verdict: Verdict | None) -> bytes:
    """What is sent to ask."""
    body = _body(hook, kind, state)
    body["phase"] = ASKED_IN.get(kind, body["phase"])
    if verdict:
        reasons: list[JsonValue] = [{"code": reason.code, "text": reason.text} for reason in verdict.reasons]
        body["verdict"] = {"outcome": verdict.outcome.value, "reasons": reasons}
    return json.dumps(body).encode()


def report(hook: Hook, kind: HookType, state: ServiceState, line: LedgerLine, *, warning: bool) -> bytes:
    """What is sent to tell a ledger line: the service as the line has it, which may be some time ago."""
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
    return json.dumps(body).encode()


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
