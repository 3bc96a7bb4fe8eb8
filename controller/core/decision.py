"""The decisions: what happens to a rollout on a verdict (`decide`) and on an operator's command (`obey`).

Pure functions of values. Whether a freeze stops a decision is asked of `guard` alone: here to say what would have
been done, and once more inside the store's transaction, which is what counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.core.errors import Code, Refusal
from controller.core.guard import ALL, Act, Freeze, Mode
from controller.core.rollout import JUDGED, Event, Phase, Rollout
from controller.core.spec import Value
from controller.core.units import PARTS, format_duration, format_parts
from controller.core.verdict import Outcome, Verdict
from controller.core.view import ServiceState

CONFIRM_WITHIN = 10.0
"""Seconds after which a rollback counts as done though a proxy has not confirmed it; the proxy shows as unconfirmed."""


class Progress(Value):
    """How long a rollout has been watched, in seconds of a monotonic clock; a restart goes on with what was stored.

    `observed` counts, since the last change of phase or step, only time for which reports arrived, so a dwell is
    never served by silence; `elapsed` counts all time since then; `total` is observed time since the start.
    """

    observed: float = 0.0
    elapsed: float = 0.0
    total: float = 0.0

    def after(self, seconds: float, *, blind: bool) -> "Progress":
        """`seconds` later."""
        seen = 0.0 if blind else seconds
        return Progress(observed=self.observed + seen, elapsed=self.elapsed + seconds, total=self.total + seen)

    def entered(self) -> "Progress":
        """At the beginning of another phase or step."""
        return Progress(total=self.total)


@dataclass(frozen=True, slots=True)
class Sync:
    """How many of the connected proxies serve what was decided, and which have refused it."""

    synced: int = 0
    total: int = 0
    refused: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every connected proxy serves it."""
        return self.synced >= self.total

    def enough(self, share: float) -> bool:
        """Whether the fleet is in sync enough to advance: at least one proxy, that share of them, none refusing."""
        return self.total > 0 and not self.refused and self.synced >= share * self.total


class Kind(StrEnum):
    """What was decided; the word that the ledger uses."""

    HOLD = "hold"
    STARTED = "rollout_started"
    WARMED = "rollout_warm"
    ADVANCED = "step_advanced"
    APPROVAL_NEEDED = "approval_needed"
    APPROVED = "approved"
    PROMOTING = "promotion_started"
    BAKING = "bake_started"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    ROLLBACK = "rollback"
    ROLLED_BACK = "rolled_back"
    DIVERTED = "fallback_on"
    RESTORED = "fallback_off"
    SUPPRESSED = "rollback_suppressed"
    VOID = "rollback_into_void"
    """Not rolled back, since stable has no healthy endpoint."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and what the service's state is then (`state` is the present one on HOLD)."""

    kind: Kind
    act: Act
    reason: str
    state: ServiceState

    @property
    def holds(self) -> bool:
        """Whether nothing is to be written."""
        return self.kind is Kind.HOLD

    @property
    def forward(self) -> bool:
        """Whether automation takes the canary a step further with it, or asks a person to: what hooks are asked for."""
        return self.kind in (Kind.ADVANCED, Kind.APPROVAL_NEEDED, Kind.PROMOTING)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that `decide` looks at beside the state: one tick's knowledge.

    `blocked` answers which freeze stops an act on this service. `stable_void` is true when stable is known to have
    no healthy endpoint. `sync_share` is the share of the connected proxies that must be in sync to advance.
    """

    verdict: Verdict
    progress: Progress
    sync: Sync
    blocked: Callable[[Act], Freeze | None]
    stable_void: bool = False
    sync_share: float = 1.0


def decide(state: ServiceState, seen: Seen, now: float) -> Decision:
    """What automation does with this service now. `now` is Unix seconds; it is written down, never compared."""
    rollout = state.rollout
    if rollout is None or not rollout.running:
        return _hold(state, "no rollout is running")
    if rollout.phase in JUDGED and seen.verdict.outcome is Outcome.HARM:
        return _take_back(state, rollout, seen, now)
    match rollout.phase:
        case Phase.ROLLING_BACK:
            return _confirm_rollback(state, rollout, seen, now)
        case Phase.PROMOTING:
            return _confirm_promotion(state, rollout, seen, now)
        case Phase.WARMING:
            return _warm_up(state, rollout, seen, now)
        case Phase.PROGRESSING:
            return _go_on(state, rollout, seen, now)
        case Phase.BAKING:
            return _finish_bake(state, rollout, seen, now)
        case Phase.PAUSED:
            return _hold(state, f"paused: {rollout.reason}")
        case _:
            return _hold(state, f"{format_parts(rollout.next_weight)} needs a person's approval")


def _take_back(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    why = _told(seen.verdict, "harm")
    freeze = seen.blocked(Act.ROLLBACK)
    if freeze:
        cause = f"{freeze.scope}@{freeze.since:.3f}:{seen.verdict.cause}"
        text = f"rollback suppressed by the freeze of {freeze.who} ({freeze.reason}): {why}"
        return _once(state, rollout, Kind.SUPPRESSED, cause, text)
    if seen.stable_void:
        text = f"no rollback into a void: {rollout.stable} has no healthy endpoint; --force overrides. The harm: {why}"
        return _once(state, rollout, Kind.VOID, f"void:{seen.verdict.cause}", text)
    return _move(state, rollout, Event.ROLLBACK, Kind.ROLLBACK, Act.ROLLBACK, why, now)


def _confirm_rollback(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    sync = seen.sync
    if not sync.complete and seen.progress.elapsed < CONFIRM_WITHIN:
        return _hold(state, f"{sync.synced} of {sync.total} proxies have confirmed the rollback")
    why = (
        f"all {sync.total} connected proxies serve {rollout.stable} alone"
        if sync.complete
        else f"{sync.total - sync.synced} of {sync.total} proxies have not confirmed within {CONFIRM_WITHIN:g} s"
    )
    return _move(state, rollout, Event.CONFIRM, Kind.ROLLED_BACK, Act.RECORD, f"{rollout.reason}; {why}", now)


def _confirm_promotion(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    if not seen.sync.enough(seen.sync_share):
        return _hold(state, _out_of_sync(seen.sync))
    bake = format_duration(rollout.policy.bake)
    why = f"{seen.sync.synced} of {seen.sync.total} proxies serve {rollout.canary} alone; watched for {bake}"
    return _move(state, rollout, Event.CONFIRM, Kind.BAKING, Act.RECORD, why, now)


def _warm_up(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    if not rollout.weight:
        freeze = seen.blocked(Act.ADVANCE)
        if freeze:
            return _hold(state, f"would begin, but {told_freeze(freeze)}")
        why = f"begins at {format_parts(rollout.policy.steps[0])}"
        return _move(state, rollout, Event.OPEN, Kind.ADVANCED, Act.ADVANCE, why, now)
    if not seen.verdict.warm:
        return _hold(state, _told(seen.verdict, "the canary is warming up"))
    return _move(state, rollout, Event.WARM, Kind.WARMED, Act.RECORD, "the warm-up is over", now)


def _go_on(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    policy, verdict = rollout.policy, seen.verdict
    insufficient = seen.progress.total >= policy.deadline and verdict.outcome is not Outcome.PASS
    if insufficient and policy.on_insufficient == "rollback":
        why = f"no proof by the deadline of {format_duration(policy.deadline)}: {_told(verdict, 'unknown')}"
        return _take_back_undecided(state, rollout, seen, why, now)
    if seen.progress.observed < policy.dwell:
        left = policy.dwell - seen.progress.observed
        return _hold(state, f"{left:.0f} s of the dwell at {format_parts(rollout.weight)} are left")
    overdue = insufficient and policy.on_insufficient == "advance" and not verdict.blind
    if verdict.outcome is not Outcome.PASS and not overdue:
        return _hold(state, _told(verdict, "not enough evidence"))
    if not seen.sync.enough(seen.sync_share):
        return _hold(state, _out_of_sync(seen.sync))
    freeze = seen.blocked(Act.ADVANCE)
    if freeze:
        return _hold(state, f"would advance, but {told_freeze(freeze)}")
    if rollout.next_weight in policy.approve:
        text = f"{format_parts(rollout.next_weight)} needs a person's approval"
        return _move(state, rollout, Event.ASK, Kind.APPROVAL_NEEDED, Act.RECORD, text, now)
    why = _told(verdict, "passed") if not overdue else f"the deadline passed: {_told(verdict, 'unknown')}"
    return _forward(state, rollout, why, now)


def _take_back_undecided(state: ServiceState, rollout: Rollout, seen: Seen, why: str, now: float) -> Decision:
    freeze = seen.blocked(Act.ROLLBACK)
    if freeze:
        return _once(state, rollout, Kind.SUPPRESSED, f"{freeze.scope}@{freeze.since:.3f}:deadline", why)
    return _move(state, rollout, Event.ROLLBACK, Kind.ROLLBACK, Act.ROLLBACK, why, now)


def _finish_bake(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    left = rollout.policy.bake - seen.progress.observed
    if left > 0:
        return _hold(state, f"{left:.0f} s of the bake are left")
    freeze = seen.blocked(Act.ADVANCE)
    if freeze:
        return _hold(state, f"would end the bake, but {told_freeze(freeze)}")
    why = f"no harm seen in {format_duration(rollout.policy.bake)} of bake"
    return _move(state, rollout, Event.BAKED, Kind.PROMOTED, Act.ADVANCE, why, now)


def _forward(state: ServiceState, rollout: Rollout, why: str, now: float, kind: Kind | None = None) -> Decision:
    if rollout.next_weight == PARTS:
        return _move(state, rollout, Event.FINISH, kind or Kind.PROMOTING, Act.ADVANCE, why, now)
    return _move(state, rollout, Event.ADVANCE, kind or Kind.ADVANCED, Act.ADVANCE, why, now)


class Verb(StrEnum):
    """What an operator can ask of a rollout."""

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
    """An operator's command. `canary` and `rollout_id` are for START, `force` for ROLLBACK."""

    verb: Verb
    reason: str
    canary: str = ""
    rollout_id: str = ""
    force: bool = False


def obey(state: ServiceState, command: Command, now: float) -> Decision:
    """What the command does; `Refusal` where it is not possible now. Freezes are the store's to check."""
    if command.verb is Verb.START:
        return _start(state, command, now)
    if command.verb is Verb.DIVERT:
        return divert(state, command.reason or "sent to the fallback by an operator", now)
    if command.verb is Verb.RESTORE:
        return _restore(state, command)
    rollout = state.rollout
    if rollout is None:
        raise Refusal(Code.NO_ROLLOUT, f"{state.name} has no rollout; start one with a canary")
    if command.verb is Verb.ROLLBACK:
        return _roll_back(state, rollout, command, now)
    if not rollout.running:
        raise Refusal(Code.NO_ROLLOUT, f"no rollout of {state.name} is running: the last one is {rollout.phase}")
    why = command.reason or f"{command.verb} by an operator"
    match command.verb:
        case Verb.PAUSE if rollout.can(Event.PAUSE):
            return _move(state, rollout, Event.PAUSE, Kind.PAUSED, Act.RECORD, why, now)
        case Verb.RESUME if rollout.can(Event.RESUME):
            return _move(state, rollout, Event.RESUME, Kind.RESUMED, Act.ADVANCE, why, now)
        case Verb.APPROVE if rollout.phase is Phase.AWAITING_APPROVAL:
            return _forward(state, rollout, why, now, Kind.APPROVED)
        case Verb.PROMOTE if rollout.can(Event.FINISH):
            return _move(state, rollout, Event.FINISH, Kind.PROMOTING, Act.ADVANCE, why, now)
        case Verb.PROMOTE if rollout.can(Event.BAKED):
            return _move(state, rollout, Event.BAKED, Kind.PROMOTED, Act.ADVANCE, why, now)
    raise Refusal(Code.NOT_POSSIBLE, f"{command.verb} is not possible while {state.name} is {rollout.phase}")


def divert(state: ServiceState, why: str, now: float) -> Decision:
    """Send all traffic to the declared fallback; `Refusal` if there is none, or it is there already."""
    fallback = state.spec.fallback
    if fallback is None:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} declares no fallback")
    if state.diverted:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} is on its fallback already: {state.diverted}")
    if fallback.version:
        version = state.spec.version(fallback.version)
        if version is None or not version.endpoints:
            raise Refusal(Code.NO_ENDPOINTS, f"the fallback {fallback.version} of {state.name} has no endpoints")
    rollout = state.rollout
    if rollout and rollout.running and rollout.can(Event.ROLLBACK):
        rollout = rollout.moved(Event.ROLLBACK, now, why)
    return Decision(Kind.DIVERTED, Act.FALLBACK, why, state.model_copy(update={"diverted": why, "rollout": rollout}))


def _restore(state: ServiceState, command: Command) -> Decision:
    if not state.diverted:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} is not on its fallback")
    why = command.reason or "taken back from the fallback by an operator"
    return Decision(Kind.RESTORED, Act.FALLBACK, why, state.model_copy(update={"diverted": ""}))


def _start(state: ServiceState, command: Command, now: float) -> Decision:
    canary, present = command.canary, state.rollout
    version = state.spec.version(canary)
    if version is None:
        known = ", ".join(v.name for v in state.spec.versions)
        raise Refusal(Code.INVALID, f"{state.name} has no version {canary!r}; it has {known}", ())
    if canary == state.stable:
        raise Refusal(Code.INVALID, f"{canary} is the stable of {state.name}: a canary is another version")
    if not version.endpoints:
        raise Refusal(Code.NO_ENDPOINTS, f"{canary} of {state.name} has no endpoints")
    if state.diverted:
        raise Refusal(Code.NOT_POSSIBLE, f"{state.name} is on its fallback ({state.diverted}): restore it first")
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
    return _move(state, fresh, Event.START, Kind.STARTED, Act.ADVANCE, why, now)


def _roll_back(state: ServiceState, rollout: Rollout, command: Command, now: float) -> Decision:
    if not rollout.can(Event.ROLLBACK):
        raise Refusal(Code.NO_ROLLOUT, f"nothing to roll back: the rollout of {rollout.canary} is {rollout.phase}")
    target = state.spec.version(rollout.stable)
    if target is None or not target.endpoints:
        raise Refusal(Code.NO_ENDPOINTS, f"{rollout.stable} has no endpoints any more: traffic would go into a void")
    act = Act.FORCED_ROLLBACK if command.force else Act.ROLLBACK
    why = command.reason or "rollback by an operator"
    return _move(state, rollout, Event.ROLLBACK, Kind.ROLLBACK, act, why, now)


def _move(state: ServiceState, rollout: Rollout, event: Event, kind: Kind, act: Act, why: str, now: float) -> Decision:
    moved = rollout.moved(event, now, why)
    stable = moved.canary if moved.phase is Phase.PROMOTED else moved.stable
    return Decision(kind, act, why, state.model_copy(update={"rollout": moved, "stable": stable}))


def _once(state: ServiceState, rollout: Rollout, kind: Kind, cause: str, text: str) -> Decision:
    """Say it in the ledger the first time that this cause is seen; hold after that."""
    if cause in rollout.suppressed:
        return _hold(state, text)
    noted = rollout.model_copy(update={"suppressed": (*rollout.suppressed, cause)})
    return Decision(kind, Act.RECORD, text, state.model_copy(update={"rollout": noted}))


def held(state: ServiceState, decision: Decision, reason: str) -> Decision:
    """To hold where `decision` would have moved on."""
    return _hold(state, f"would move on ({decision.kind}), but {reason}")


def _hold(state: ServiceState, reason: str) -> Decision:
    return Decision(Kind.HOLD, Act.RECORD, reason, state)


def _told(verdict: Verdict, otherwise: str) -> str:
    return "; ".join(r.text for r in verdict.reasons) or otherwise


def _out_of_sync(sync: Sync) -> str:
    if sync.refused:
        return f"refused by {', '.join(sync.refused[:3])}: see `haldane proxies`"
    return f"{sync.synced} of {sync.total} proxies are in sync" if sync.total else "no proxy is connected"


def told_freeze(freeze: Freeze) -> str:
    """A freeze in words."""
    what = "all services are" if freeze.scope == ALL else f"{freeze.scope} is"
    verb = "frozen" if freeze.mode is Mode.FREEZE else "on hold"
    end = "" if freeze.until is None else ", it ends by itself"
    return f"{what} {verb} by {freeze.who}: {freeze.reason}{end}"
