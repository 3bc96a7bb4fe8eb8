"""What automation does with a rollout: a verdict, how long it has been watched, how far the proxies are -> a decision.

A pure function of values. Whether a freeze stops a decision is asked of `guard` alone: here to say what would have
been done, and once more inside the store's transaction, which is what counts.
"""

from collections.abc import Callable
from typing import NamedTuple

from controller.core.base.units import format_duration, format_weight
from controller.core.control.commands import divert
from controller.core.control.decision import Decision, forward, hold, move
from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Act, Freeze, describe_freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Event, Phase, Rollout
from controller.core.model.state import ServiceState

CONFIRM_WITHIN = 10.0
"""Seconds after which a rollback counts as done though a proxy has not confirmed it; the proxy shows as unconfirmed."""


class Seen(NamedTuple):
    """Everything that `decide` looks at beside the state: one tick's knowledge.

    `blocked` answers which freeze stops an act on this service. `stable_unroutable` is true when stable is known to
    have no healthy endpoint. `sync_share` is the share of the connected proxies that must be in sync to advance.
    """

    verdict: Verdict
    progress: Progress
    sync: Sync
    blocked: Callable[[Act], Freeze | None]
    stable_unroutable: bool = False
    sync_share: float = 1.0


def decide(state: ServiceState, seen: Seen, now: float) -> Decision:
    """What automation does with this service now. `now` is Unix seconds; it is written down, never compared."""
    rollout = state.rollout
    if rollout is None or not rollout.running:
        return hold(state, "no rollout is running")
    if rollout.phase in JUDGED and seen.verdict.outcome is Outcome.HARM:
        return _take_back(state, rollout, seen, _told(seen.verdict, "harm"), seen.verdict.cause, now)
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
            return hold(state, f"paused: {rollout.reason}")
        case _:
            return hold(state, f"{format_weight(rollout.next_weight)} needs a person's approval")


def decide_fallback(
    state: ServiceState, verdict: Verdict, blocked: Callable[[Act], Freeze | None], now: float, *, void: bool = False
) -> Decision:
    """What automation does when no rollout runs and stable itself is judged: with `fallback: automatic`, and only on
    a broken absolute limit, all traffic goes to the declared fallback. Only a person takes it back.

    `void`: the fallback is a version that is known to have no healthy endpoint.
    """
    told = _told(verdict, "stable is watched")
    automatic = state.spec.policy.fallback == "automatic" and state.spec.fallback and not state.diverted
    if verdict.outcome is not Outcome.HARM or not automatic:
        return hold(state, told)
    freeze = blocked(Act.FALLBACK)
    if freeze:
        return hold(state, f"would go to the fallback, but {describe_freeze(freeze)}: {told}")
    if void:
        return hold(state, f"would go to the fallback, but that has no healthy endpoint: {told}")
    return divert(state, told, now)


def _take_back(state: ServiceState, rollout: Rollout, seen: Seen, why: str, cause: str, now: float) -> Decision:
    """A rollback, unless a freeze or a void is in its way; that is said once for each cause."""
    freeze = seen.blocked(Act.ROLLBACK)
    if freeze:
        text = f"rollback suppressed by the freeze of {freeze.who} ({freeze.reason}): {why}"
        return _once(state, rollout, LedgerKind.ROLLBACK_SUPPRESSED, f"{freeze.scope}@{freeze.since:.3f}:{cause}", text)
    if seen.stable_unroutable and rollout.weight:
        text = f"no rollback into a void: {rollout.stable} has no healthy endpoint; --force overrides. The cause: {why}"
        return _once(state, rollout, LedgerKind.NO_HEALTHY_UPSTREAM, f"void:{cause}", text)
    return move(state, rollout, Event.ROLLBACK, LedgerKind.ROLLBACK, Act.ROLLBACK, why, now)


def _confirm_rollback(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    sync = seen.sync
    if not sync.complete and seen.progress.elapsed < CONFIRM_WITHIN:
        return hold(state, _of(sync, sync.synced, "has", "have") + " confirmed the rollback")
    why = (
        _serving(sync, rollout.stable)
        if sync.complete
        else _of(sync, sync.total - sync.synced, "has", "have") + f" not confirmed within {CONFIRM_WITHIN:g} s"
    )
    return move(state, rollout, Event.CONFIRM, LedgerKind.ROLLED_BACK, Act.RECORD, f"{rollout.reason}; {why}", now)


def _confirm_promotion(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    if not seen.sync.enough(seen.sync_share):
        return hold(state, _out_of_sync(seen.sync))
    bake = format_duration(rollout.policy.bake)
    why = f"{_serving(seen.sync, rollout.canary)}; watched for {bake}"
    return move(state, rollout, Event.CONFIRM, LedgerKind.BAKE_STARTED, Act.RECORD, why, now)


def _warm_up(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    if not rollout.weight:
        freeze = seen.blocked(Act.ADVANCE)
        if freeze:
            return hold(state, f"would begin, but {describe_freeze(freeze)}")
        why = f"begins at {format_weight(rollout.policy.steps[0])}"
        return move(state, rollout, Event.OPEN, LedgerKind.STEP_ADVANCED, Act.ADVANCE, why, now)
    if not seen.verdict.warm:
        return hold(state, _told(seen.verdict, "the canary is warming up"))
    return move(state, rollout, Event.WARM, LedgerKind.ROLLOUT_WARM, Act.RECORD, "the warm-up is over", now)


def _go_on(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    policy, verdict = rollout.policy, seen.verdict
    insufficient = seen.progress.total >= policy.deadline and verdict.outcome is not Outcome.PASS
    if insufficient and policy.on_insufficient == "rollback":
        why = f"no proof by the deadline of {format_duration(policy.deadline)}: {_told(verdict, 'unknown')}"
        return _take_back(state, rollout, seen, why, "deadline", now)
    if seen.progress.observed < policy.dwell:
        left = policy.dwell - seen.progress.observed
        return hold(state, f"{left:.0f} s of the dwell at {format_weight(rollout.weight)} are left")
    overdue = insufficient and policy.on_insufficient == "advance" and not verdict.blind
    if verdict.outcome is not Outcome.PASS and not overdue:
        return hold(state, _told(verdict, "not enough evidence"))
    if not seen.sync.enough(seen.sync_share):
        return hold(state, _out_of_sync(seen.sync))
    freeze = seen.blocked(Act.ADVANCE)
    if freeze:
        return hold(state, f"would advance, but {describe_freeze(freeze)}")
    if rollout.next_weight in policy.approve:
        text = f"{format_weight(rollout.next_weight)} needs a person's approval"
        return move(state, rollout, Event.ASK, LedgerKind.APPROVAL_NEEDED, Act.RECORD, text, now)
    why = _told(verdict, "passed") if not overdue else f"the deadline passed: {_told(verdict, 'unknown')}"
    return forward(state, rollout, why, now)


def _finish_bake(state: ServiceState, rollout: Rollout, seen: Seen, now: float) -> Decision:
    left = rollout.policy.bake - seen.progress.observed
    if left > 0:
        return hold(state, f"{left:.0f} s of the bake are left")
    if seen.verdict.in_grace:
        return hold(state, f"the bake goes on: {_told(seen.verdict, 'in a spell')}")
    freeze = seen.blocked(Act.ADVANCE)
    if freeze:
        return hold(state, f"would end the bake, but {describe_freeze(freeze)}")
    why = f"no harm seen in {format_duration(rollout.policy.bake)} of bake"
    return move(state, rollout, Event.BAKED, LedgerKind.PROMOTED, Act.ADVANCE, why, now)


def _once(state: ServiceState, rollout: Rollout, kind: LedgerKind, cause: str, text: str) -> Decision:
    """Say it in the ledger the first time that this cause is seen; hold after that."""
    if cause in rollout.suppressed:
        return hold(state, text)
    noted = rollout.model_copy(update={"suppressed": (*rollout.suppressed, cause)})
    return Decision(kind, Act.RECORD, text, state.model_copy(update={"rollout": noted}))


def _told(verdict: Verdict, otherwise: str) -> str:
    return "; ".join(r.text for r in verdict.reasons) or otherwise


def _of(sync: Sync, number: int, of_one: str, of_many: str) -> str:
    """So many of the connected proxies, and the verb of which they are the subject."""
    return f"{number} of {sync.total} " + (f"proxy {of_one}" if sync.total == 1 else f"proxies {of_many}")


def _serving(sync: Sync, version: str) -> str:
    if not sync.total:
        return "no proxy is connected"
    if not sync.complete:
        return _of(sync, sync.synced, "serves", "serve") + f" {version} alone"
    if sync.total == 1:
        return f"the one connected proxy serves {version} alone"
    return f"all {sync.total} connected proxies serve {version} alone"


def _out_of_sync(sync: Sync) -> str:
    if sync.nacked:
        return f"refused by {', '.join(sync.nacked[:3])}: see `haldane proxies`"
    if not sync.total:
        return "no proxy is connected"
    names = ", ".join(sync.behind[:3]) + (", ..." if sync.behind[3:] else "")
    return _of(sync, sync.synced, "is", "are") + " in sync" + (f": waiting for {names}" if names else "")
