"""What an operator's command does to a service. Whether a freeze stops it is checked by the store."""

from dataclasses import dataclass, replace
from enum import StrEnum

from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.base.units import format_weight
from controller.core.control.decision import Decision, advance, move
from controller.core.control.describe import describe_decision
from controller.core.judge.verdict import Verdict
from controller.core.model.followed import Followed
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.service_state import ServiceState


class Verb(StrEnum):
    """What an operator can do with a rollout."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    DIVERT = "divert"
    """All traffic to the declared fallback; a running rollout is rolled back with it."""
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command. `canary` and `rollout_id` are for START, `force` for ROLLBACK.

    `expected_canary` is the one that PAUSE, RESUME, APPROVE or PROMOTE is about, `weight` (basis points) the one that
    APPROVE approves: if it is another one by now, the command is refused. Empty and 0: whichever it is.
    """

    verb: Verb
    reason: str
    canary: str = ""
    rollout_id: str = ""
    force: bool = False
    expected_canary: str = ""
    weight: int = 0
    followed: Followed | None = None
    """For START: what is stored with it, if a file of a folder asks for it."""


def execute(
    state: ServiceState,
    command: Command,
    now: float,
    *,
    stable_has_no_upstream: bool = False,
    canary_lacks_upstream: bool = False,
) -> Decision:
    """The decision that the command comes to; `Refusal` where it is not possible now.

    Whether a freeze stops it is checked by the store. `now` is Unix seconds. `stable_has_no_upstream`: stable is known
    to have no healthy endpoint. `canary_lacks_upstream`: the canary has host names or health checks, and it is not
    known that every proxy has a healthy endpoint of it; it then starts without weight.
    """
    _check_fields(command)
    match command.verb:
        case Verb.START:
            return _start(state, command, now, canary_lacks_upstream=canary_lacks_upstream)
        case Verb.DIVERT:
            return divert(state, now, note=command.reason or "sent to the fallback by an operator")
        case Verb.RESTORE:
            return _restore(state, command)
    if state.rollout is None:
        raise Refusal(Code.NO_ROLLOUT, f"{state.name} has no rollout; start one with a canary")
    if command.verb is Verb.ROLLBACK:
        return _roll_back(state, state.rollout, command, now, stable_has_no_upstream=stable_has_no_upstream)
    if command.verb is Verb.PROMOTE and canary_lacks_upstream and not state.rollout.weight:
        raise Refusal(
            Code.NO_ENDPOINTS,
            f"a proxy has no healthy endpoint of {state.rollout.canary}: it has yet to resolve its host names, or to "
            "see it pass a health check",
        )
    return _steer(state, state.rollout, command, now)


def _check_fields(command: Command) -> None:
    """Refuse fields that this command does not compare: the caller would rely on a check that is not made."""
    wrong = []
    if command.expected_canary and command.verb in (Verb.DIVERT, Verb.RESTORE):
        wrong.append(Violation("canary", f"{command.verb} takes no canary"))
    if command.weight and command.verb is not Verb.APPROVE:
        wrong.append(Violation("weight", f"{command.verb} takes no weight; approve does"))
    if wrong:
        raise invalid(wrong)


def _steer(state: ServiceState, rollout: Rollout, command: Command, now: float) -> Decision:
    """Pause, resume, approve or promote a running rollout."""
    if not rollout.running:
        raise Refusal(Code.NO_ROLLOUT, f"no rollout of {state.name} is running: the last one is {rollout.phase}")
    if command.expected_canary and command.expected_canary != rollout.canary:
        raise Refusal(
            Code.CONFLICT,
            f"{command.verb} was meant for {command.expected_canary}, and the rollout of {state.name} is "
            f"{rollout.canary}'s now",
        )
    why = command.reason or f"{command.verb} by an operator"
    match command.verb:
        case Verb.PAUSE if rollout.can(Event.PAUSE):
            return move(state, Event.PAUSE, now, note=why)
        case Verb.RESUME if rollout.can(Event.RESUME):
            return move(state, Event.RESUME, now, note=why)
        case Verb.APPROVE if rollout.phase is Phase.AWAITING_APPROVAL:
            return _approve(state, rollout, command.weight, why, now)
        case Verb.PROMOTE if rollout.can(Event.PROMOTE):
            return move(state, Event.PROMOTE, now, note=why)
        case Verb.PROMOTE if rollout.can(Event.BAKED):
            return move(state, Event.BAKED, now, note=why)
    raise Refusal(Code.NOT_POSSIBLE, f"{command.verb} is not possible while {state.name} is {rollout.phase}")


def _approve(state: ServiceState, rollout: Rollout, weight: int, why: str, now: float) -> Decision:
    if weight and weight != rollout.next_weight:
        approved, awaited = format_weight(weight), format_weight(rollout.next_weight)
        raise Refusal(Code.CONFLICT, f"{approved} was approved, and {state.name} asks for {awaited} now")
    return replace(advance(state, now, note=why), kind=LedgerKind.APPROVED)


def divert(state: ServiceState, now: float, *, note: str = "", verdict: Verdict | None = None) -> Decision:
    """Send all traffic to the declared fallback; `Refusal` if there is none, or it is there already."""
    fallback = state.spec.fallback
    if fallback is None:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} declares no fallback")
    if state.diverted:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} is on its fallback already: {state.diverted}")
    if fallback.version:
        version = state.spec.version(fallback.version)
        if version is None or not version.has_servers:
            raise Refusal(Code.NO_ENDPOINTS, f"the fallback {fallback.version} of {state.name} has no endpoints")
    why = describe_decision(note, verdict, None)
    rollout = state.rollout
    if rollout and rollout.running and rollout.can(Event.ROLLBACK):
        rollout = rollout.moved(Event.ROLLBACK, now, why)
    after = state.model_copy(update={"diverted": why, "rollout": rollout})
    return Decision(LedgerKind.FALLBACK_ON, Act.FALLBACK, after, note, verdict)


def _restore(state: ServiceState, command: Command) -> Decision:
    if not state.diverted:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} is not on its fallback")
    why = command.reason or "restored from the fallback by an operator"
    return Decision(LedgerKind.FALLBACK_OFF, Act.FALLBACK, state.model_copy(update={"diverted": ""}), why)


def _start(state: ServiceState, command: Command, now: float, *, canary_lacks_upstream: bool) -> Decision:
    canary, present = command.canary, state.rollout
    version = state.spec.version(canary)
    if version is None:
        known = ", ".join(v.name for v in state.spec.versions)
        raise Refusal(Code.INVALID, f"{state.name} has no version {canary!r}; it has {known}", ())
    if canary == state.stable:
        raise Refusal(Code.INVALID, f"{canary} is the stable of {state.name}: a canary is another version")
    if not version.has_servers:
        raise Refusal(Code.NO_ENDPOINTS, f"{canary} of {state.name} has no endpoints")
    if state.diverted:
        raise Refusal(
            Code.NOT_POSSIBLE, f"{state.name} is on its fallback ({state.diverted}): take the traffic back first"
        )
    if present and present.running and (present.canary == canary or not present.can(Event.START)):
        raise Refusal(
            Code.ALREADY_RUNNING, f"a rollout of {present.canary} is {present.phase}; roll it back or promote it first"
        )
    fresh = Rollout(
        id=command.rollout_id,
        service=state.name,
        stable=state.stable,
        canary=canary,
        policy=state.spec.policy,
        phase=Phase.IDLE,
        started_at=now,
    )
    why = command.reason or f"{canary} starts"
    if present and present.running:
        why = f"{why} (in the place of {present.canary}, which was {present.phase})"
    decision = move(state.model_copy(update={"rollout": fresh}), Event.START, now, note=why)
    if command.followed:
        decision = replace(decision, state=decision.state.model_copy(update={"followed": command.followed}))
    started = decision.state.rollout
    if not canary_lacks_upstream or started is None:
        return decision
    return replace(decision, state=decision.state.model_copy(update={"rollout": started.without_weight()}))


def _roll_back(
    state: ServiceState, rollout: Rollout, command: Command, now: float, *, stable_has_no_upstream: bool
) -> Decision:
    if not rollout.can(Event.ROLLBACK):
        raise Refusal(Code.NO_ROLLOUT, f"nothing to roll back: the rollout of {rollout.canary} is {rollout.phase}")
    target = state.spec.version(rollout.stable)
    if target is None or not target.has_servers:
        raise Refusal(Code.NO_ENDPOINTS, f"{rollout.stable} has no endpoints any more: traffic would get no response")
    if stable_has_no_upstream and rollout.weight and not command.force:
        raise Refusal(
            Code.NO_ENDPOINTS,
            f"{rollout.stable} has no healthy endpoint: traffic would get no response; a forced rollback goes there "
            "all the same",
        )
    decision = move(state, Event.ROLLBACK, now, note=command.reason or "rollback by an operator")
    return replace(decision, act=Act.FORCED_ROLLBACK) if command.force else decision
