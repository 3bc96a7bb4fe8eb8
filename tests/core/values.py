"""Values for the tests of the core: a service in every phase, and what automation sees."""

from typing import Any

from controller.core.control.automation import Situation
from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.freeze import Act, Freeze, Mode, blocking
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.service import Endpoint, Fallback, Listen, Policy, Service, Version
from controller.core.model.state import ServiceState

POLICY = Policy(steps=(500, 2500, 5000), dwell=60.0, bake=900.0, deadline=3600.0)

PATHS: dict[Phase, tuple[Event, ...]] = {
    Phase.WARMING: (Event.START,),
    Phase.PROGRESSING: (Event.START, Event.WARM, Event.ADVANCE),
    Phase.PAUSED: (Event.START, Event.WARM, Event.ADVANCE, Event.PAUSE),
    Phase.AWAITING_APPROVAL: (Event.START, Event.WARM, Event.ADVANCE, Event.ASK),
    Phase.PROMOTING: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.FINISH),
    Phase.BAKING: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.FINISH, Event.CONFIRM),
    Phase.PROMOTED: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.FINISH, Event.CONFIRM, Event.BAKED),
    Phase.ROLLING_BACK: (Event.START, Event.WARM, Event.ADVANCE, Event.ROLLBACK),
    Phase.ROLLED_BACK: (Event.START, Event.WARM, Event.ADVANCE, Event.ROLLBACK, Event.CONFIRM),
    Phase.IDLE: (),
}
"""How a rollout comes into each phase."""


def idle(policy: Policy = POLICY) -> Rollout:
    """A rollout of v2 that has not begun."""
    return Rollout(id="r1", service="scorer", stable="v1", canary="v2", policy=policy, phase=Phase.IDLE)


def rollout_in(phase: Phase, policy: Policy = POLICY) -> Rollout:
    """A rollout that came into that phase the usual way."""
    rollout = idle(policy)
    for event in PATHS[phase]:
        rollout = rollout.moved(event, 100.0, f"{event}")
    return rollout


def service(*, fallback: Fallback | None = None, policy: Policy = POLICY, **fields: Any) -> Service:
    """A service of three versions, the last without endpoints."""
    versions = tuple(
        Version(name=f"v{n}", endpoints=(Endpoint(host="127.0.0.1", port=9000 + n),) if n < 4 else ())
        for n in (1, 2, 3, 4)
    )
    given: dict[str, Any] = {"name": "scorer", "listen": Listen(port=10000), "versions": versions, "stable": "v1"}
    return Service(**{**given, "policy": policy, "fallback": fallback, **fields})


def state_in(phase: Phase | None, policy: Policy = POLICY, **fields: Any) -> ServiceState:
    """A service with its rollout in that phase; None: that never had one."""
    rollout = rollout_in(phase, policy) if phase and phase is not Phase.IDLE else None
    stable = "v2" if phase is Phase.PROMOTED else "v1"
    given: dict[str, Any] = {"spec": service(policy=policy), "source": "", "stable": stable, "rollout": rollout}
    return ServiceState(**{**given, "revision": 7, **fields})


def verdict(outcome: Outcome, *, code: str = "5xx", **conditions: bool) -> Verdict:
    """A verdict with one reason."""
    return Verdict(outcome, (Reason(code, f"{code} says {outcome}"),), **conditions)


def seen(
    outcome: Outcome = Outcome.PASS,
    *,
    observed: float = 10_000.0,
    elapsed: float = 10_000.0,
    total: float = 0.0,
    sync: Sync | None = None,
    freezes: tuple[Freeze, ...] = (),
    unroutable: bool = False,
    warm: bool = True,
    blind: bool = False,
    share: float = 1.0,
    code: str = "5xx",
) -> Situation:
    """One tick's knowledge: everything in order unless said otherwise."""
    return Situation(
        verdict(outcome, warm=warm, blind=blind, code=code),
        Progress(observed=observed, elapsed=elapsed, total=total),
        sync or Sync(2, 2),
        lambda act: blocking(freezes, "scorer", act),
        unroutable,
        share,
    )


def freeze(scope: str = "*", **fields: Any) -> Freeze:
    """A freeze in force."""
    return Freeze(**{"scope": scope, "reason": "incident 42", "who": "grace", "since": 1.0, **fields})


MOVING = frozenset({Act.ADVANCE, Act.ROLLBACK, Act.FORCED_ROLLBACK, Act.DELETE, Act.FALLBACK})
"""The acts that may move weight."""


LAST = POLICY.model_copy(update={"steps": (500, 2500)})
"""A policy whose last step is the one that `state_in` reaches."""
FREEZE, HOLD = (freeze(),), (freeze(mode=Mode.HOLD),)
"""All services under a freeze, and under a hold."""
