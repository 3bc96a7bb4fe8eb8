"""What automation does with a rollout: a verdict, how long it has been watched, how far the proxies are -> a decision.

A pure function of values. Whether a freeze stops a decision is asked here to say what would have been done, and once
more inside the store's transaction, which is what counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from controller.core.base.units import format_duration, format_weight
from controller.core.control.blocker import Blocker, BlockerKind, unsynced
from controller.core.control.capacity import CapacityGap
from controller.core.control.commands import divert
from controller.core.control.decision import Decision, advance, move, wait
from controller.core.control.describe import count_proxies, describe_serving
from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Event, Phase, Rollout
from controller.core.model.service_state import ServiceState

CONFIRM_WITHIN = 10.0
"""Seconds after which a rollback counts as done though a proxy has not confirmed it; the proxy shows as unconfirmed."""


FIRST_REPORT = 10.0
"""Seconds for which a canary with host names or health checks waits for a proxy's first report on its endpoints.
Proxies that send no metrics never report on them."""


class DecisionInputs(NamedTuple):
    """What `decide` knows besides the state, in one tick.

    `blocked` returns the freeze that stops an act on this service. `stable_has_no_upstream` is true when stable is
    known to have no healthy endpoint; `canary_lacks_upstream` when some proxy has no healthy endpoint of the canary,
    None while a first report on it is awaited. `capacity_gap` is what stable lacks of its capacity. `sync_share` is the
    share of the connected proxies that must be in sync to advance.
    """

    verdict: Verdict
    progress: Progress
    sync: Sync
    blocked: Callable[[Act], Freeze | None]
    stable_has_no_upstream: bool = False
    sync_share: float = 1.0
    canary_lacks_upstream: bool | None = False
    capacity_gap: CapacityGap | None = None


def decide(state: ServiceState, inputs: DecisionInputs, now: float) -> Decision:
    """What automation does with this service now. `now` is Unix seconds; it is written down, never compared."""
    rollout = state.rollout
    if rollout is None or not rollout.running:
        return wait(state, Blocker(BlockerKind.NO_ROLLOUT))
    if rollout.phase in JUDGED and inputs.verdict.outcome is Outcome.HARM:
        return _roll_back(state, rollout, inputs, now, cause=inputs.verdict.cause)
    match rollout.phase:
        case Phase.ROLLING_BACK:
            return _confirm_rollback(state, rollout, inputs, now)
        case Phase.PROMOTING:
            return _confirm_promotion(state, rollout, inputs, now)
        case Phase.WARMING:
            return _warm_up(state, rollout, inputs, now)
        case Phase.PROGRESSING:
            return _advance(state, rollout, inputs, now)
        case Phase.BAKING:
            return _finish_bake(state, rollout, inputs, now)
        case Phase.PAUSED:
            return wait(state, Blocker(BlockerKind.PAUSE, words=rollout.reason))
        case _:
            return wait(state, Blocker(BlockerKind.APPROVAL, weight=rollout.next_weight))


def decide_fallback(
    state: ServiceState,
    verdict: Verdict,
    blocked: Callable[[Act], Freeze | None],
    now: float,
    *,
    fallback_has_no_upstream: bool = False,
) -> Decision:
    """What automation does when no rollout runs and stable itself is judged: with `fallback: automatic`, and only on
    a broken absolute limit, all traffic goes to the declared fallback. Only a person takes it back.

    `fallback_has_no_upstream`: the fallback is a version that is known to have no healthy endpoint.
    """
    automatic = state.spec.policy.fallback == "automatic" and state.spec.fallback and not state.diverted
    if verdict.outcome is not Outcome.HARM or not automatic:
        return wait(state, Blocker(BlockerKind.EVIDENCE, LedgerKind.FALLBACK_ON), verdict)
    freeze = blocked(Act.FALLBACK)
    if freeze:
        return wait(state, Blocker(BlockerKind.FREEZE, LedgerKind.FALLBACK_ON, freeze=freeze), verdict)
    if fallback_has_no_upstream:
        return wait(state, Blocker(BlockerKind.NO_HEALTHY_UPSTREAM, LedgerKind.FALLBACK_ON), verdict)
    return divert(state, now, verdict=verdict)


def _roll_back(
    state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float, *, cause: str, note: str = ""
) -> Decision:
    """A rollback, unless a freeze or a stable without healthy endpoints is in its way."""
    freeze = inputs.blocked(Act.ROLLBACK)
    if freeze:
        blocker = Blocker(BlockerKind.FREEZE, LedgerKind.ROLLBACK, freeze=freeze)
        decision = Decision(LedgerKind.ROLLBACK_SUPPRESSED, Act.RECORD, state, note, inputs.verdict, blocker)
        return _once(decision, rollout, _suppressing(freeze) + cause)
    if inputs.stable_has_no_upstream and rollout.weight:
        blocker = Blocker(BlockerKind.NO_HEALTHY_UPSTREAM, LedgerKind.ROLLBACK, names=(rollout.stable,))
        decision = Decision(LedgerKind.NO_HEALTHY_UPSTREAM, Act.RECORD, state, note, inputs.verdict, blocker)
        return _once(decision, rollout, f"void:{cause}")  # the word is kept: causes are stored with the rollout
    return move(state, Event.ROLLBACK, now, note=note, verdict=inputs.verdict)


def rollback_is_suppressed(rollout: Rollout, freezes: Iterable[Freeze]) -> bool:
    """Whether a freeze that is in force stopped a rollback of the running rollout in its present phase."""
    holding = tuple(_suppressing(freeze) for freeze in freezes)
    return rollout.running and any(cause.startswith(holding) for cause in rollout.suppressed)


def _suppressing(freeze: Freeze) -> str:
    """What the causes of the rollbacks that this freeze suppressed begin with."""
    return f"{freeze.scope}@{freeze.since:.3f}:"


def _once(decision: Decision, rollout: Rollout, cause: str) -> Decision:
    """The decision the first time that this cause suppresses a rollback; to wait after that."""
    if cause in rollout.suppressed:
        return replace(decision, kind=None)
    noted = rollout.model_copy(update={"suppressed": (*rollout.suppressed, cause)})
    return replace(decision, state=decision.state.model_copy(update={"rollout": noted}))


def _confirm_rollback(state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float) -> Decision:
    sync = inputs.sync
    if sync.complete:
        why = describe_serving(sync, rollout.stable)
    elif inputs.progress.elapsed < CONFIRM_WITHIN:
        return wait(state, unsynced(sync, LedgerKind.ROLLED_BACK))
    else:
        why = count_proxies(sync, sync.total - sync.synced, "has", "have") + " not confirmed"
        why += f" within {CONFIRM_WITHIN:g} s"
    return move(state, Event.CONFIRM, now, note=f"{rollout.reason}; {why}")


def _confirm_promotion(state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float) -> Decision:
    if not inputs.sync.enough(inputs.sync_share):
        return wait(state, unsynced(inputs.sync, LedgerKind.BAKE_STARTED))
    served = describe_serving(inputs.sync, rollout.canary, rollout.weight)
    return move(state, Event.CONFIRM, now, note=f"{served}; watched for {format_duration(rollout.policy.bake)}")


def _warm_up(state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float) -> Decision:
    if not rollout.has_traffic:
        unreported = inputs.canary_lacks_upstream is None and inputs.progress.elapsed < FIRST_REPORT
        if inputs.canary_lacks_upstream or unreported:
            return wait(
                state, Blocker(BlockerKind.NO_HEALTHY_UPSTREAM, LedgerKind.ROLLOUT_STARTED, names=(rollout.canary,))
            )
        freeze = inputs.blocked(Act.ADVANCE)
        if freeze:
            return wait(state, Blocker(BlockerKind.FREEZE, LedgerKind.ROLLOUT_STARTED, freeze=freeze))
        first = "in the shadow step" if rollout.policy.shadow else f"at {format_weight(rollout.policy.steps[0])}"
        return move(state, Event.BEGIN, now, note=f"begins {first}")
    if not inputs.verdict.warm:
        return wait(state, Blocker(BlockerKind.WARM_UP, LedgerKind.ROLLOUT_WARM), inputs.verdict)
    return move(state, Event.WARM, now, note="the warm-up is over")


def _advance(state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float) -> Decision:
    policy, verdict = rollout.policy, inputs.verdict
    insufficient = inputs.progress.total >= policy.deadline and verdict.outcome is not Outcome.PASS
    if insufficient and policy.on_insufficient == "rollback":
        note = f"no proof by the deadline of {format_duration(policy.deadline)}"
        return _roll_back(state, rollout, inputs, now, cause="deadline", note=note)
    overdue = insufficient and policy.on_insufficient == "advance" and not verdict.blind
    blocker = _blocker(rollout, inputs, insufficient=insufficient, overdue=overdue)
    if blocker:
        return wait(state, blocker, verdict)
    if rollout.next_weight in policy.approve:
        return move(
            state, Event.AWAIT_APPROVAL, now, note=f"{format_weight(rollout.next_weight)} needs a person's approval"
        )
    return advance(state, now, note="the deadline passed" if overdue else "", verdict=verdict)


def _blocker(rollout: Rollout, inputs: DecisionInputs, *, insufficient: bool, overdue: bool) -> Blocker | None:
    """What keeps a rollout at its step, if anything does: the first of endpoints, dwell, evidence, sync and freeze."""
    step = LedgerKind.STEP_ADVANCED
    lacking = rollout.canary if inputs.canary_lacks_upstream else rollout.stable
    if inputs.canary_lacks_upstream or inputs.stable_has_no_upstream:
        return Blocker(BlockerKind.NO_HEALTHY_UPSTREAM, step, names=(lacking,))
    if inputs.capacity_gap:
        return Blocker(BlockerKind.CAPACITY, step, names=(rollout.stable,), gap=inputs.capacity_gap)
    left = rollout.dwell - inputs.progress.observed
    if left > 0:
        return Blocker(BlockerKind.DWELL, step, seconds=left, weight=rollout.weight)
    if inputs.verdict.outcome is not Outcome.PASS and not overdue:
        return Blocker(BlockerKind.DEADLINE if insufficient else BlockerKind.EVIDENCE, step)
    if not inputs.sync.enough(inputs.sync_share):
        return unsynced(inputs.sync, step)
    freeze = inputs.blocked(Act.ADVANCE)
    return Blocker(BlockerKind.FREEZE, step, freeze=freeze) if freeze else None


def _finish_bake(state: ServiceState, rollout: Rollout, inputs: DecisionInputs, now: float) -> Decision:
    left = rollout.policy.bake - inputs.progress.observed
    if left > 0:
        return wait(state, Blocker(BlockerKind.BAKE, LedgerKind.PROMOTED, seconds=left))
    if inputs.verdict.suspicious:
        return wait(state, Blocker(BlockerKind.SUSPICION, LedgerKind.PROMOTED), inputs.verdict)
    freeze = inputs.blocked(Act.ADVANCE)
    if freeze:
        return wait(state, Blocker(BlockerKind.FREEZE, LedgerKind.PROMOTED, freeze=freeze))
    return move(state, Event.BAKED, now, note=f"no harm seen in {format_duration(rollout.policy.bake)} of bake")
