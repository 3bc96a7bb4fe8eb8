"""Builders of values for the tests: services, states, rollouts, freezes, changes, verdicts and service files."""

import itertools
from collections.abc import Mapping
from typing import Any

from controller.core.control.automation import DecisionInputs
from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.actor import Proof
from controller.core.model.change import Change
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import ALL, Act, Freeze, Mode, blocking_freeze
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.service import Endpoint, Fallback, Listen, Policy, Service, Version
from controller.core.model.service_state import ServiceState

_ids = itertools.count(1)

POLICY = Policy(steps=(500, 2500, 5000), dwell=60.0, bake=900.0, deadline=3600.0)

PATHS: dict[Phase, tuple[Event, ...]] = {
    Phase.WARMING: (Event.START,),
    Phase.PROGRESSING: (Event.START, Event.WARM, Event.ADVANCE),
    Phase.PAUSED: (Event.START, Event.WARM, Event.ADVANCE, Event.PAUSE),
    Phase.AWAITING_APPROVAL: (Event.START, Event.WARM, Event.ADVANCE, Event.AWAIT_APPROVAL),
    Phase.PROMOTING: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.PROMOTE),
    Phase.BAKING: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.PROMOTE, Event.CONFIRM),
    Phase.PROMOTED: (Event.START, Event.WARM, Event.ADVANCE, Event.ADVANCE, Event.PROMOTE, Event.CONFIRM, Event.BAKED),
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


def service(
    name: str = "scorer", *, port: int = 10000, fallback: Fallback | None = None, policy: Policy = POLICY, **fields: Any
) -> Service:
    """A service of four versions; v1 is stable, and v4 has no endpoints."""
    versions = tuple(
        Version(name=f"v{n}", endpoints=(Endpoint(host="127.0.0.1", port=9000 + n),) if n < 4 else ())
        for n in (1, 2, 3, 4)
    )
    given: dict[str, Any] = {"name": name, "listen": Listen(port=port), "versions": versions, "stable": "v1"}
    return Service(**{**given, "policy": policy, "fallback": fallback, **fields})


def state_in(phase: Phase | None, policy: Policy = POLICY, **fields: Any) -> ServiceState:
    """A service with its rollout in that phase; None: that never had one."""
    rollout = rollout_in(phase, policy) if phase and phase is not Phase.IDLE else None
    stable = "v2" if phase is Phase.PROMOTED else "v1"
    given: dict[str, Any] = {"spec": service(policy=policy), "source": "", "stable": stable, "rollout": rollout}
    return ServiceState(**{**given, "revision": 7, **fields})


def state(name: str = "scorer", *, weight: int | None = None, source: str = "text") -> ServiceState:
    """A service at rest; with `weight`, in a rollout that gives v2 so many basis points."""
    rollout = None
    if weight is not None:
        rollout = idle().model_copy(update={"service": name, "phase": Phase.PROGRESSING, "weight": weight})
    return ServiceState(spec=service(name), source=source, stable="v1", rollout=rollout)


def verdict(outcome: Outcome, *, code: str = "5xx", **conditions: bool) -> Verdict:
    """A verdict with one reason."""
    return Verdict(outcome, (Reason(code, f"{code} says {outcome}"),), **conditions)


def situation(
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
) -> DecisionInputs:
    """What one tick knows: everything is in order unless an argument says otherwise."""
    return DecisionInputs(
        verdict(outcome, warm=warm, blind=blind, code=code),
        Progress(observed=observed, elapsed=elapsed, total=total),
        sync or Sync(2, 2),
        lambda act: blocking_freeze(freezes, "scorer", act),
        unroutable,
        share,
    )


def freeze(scope: str = ALL, **fields: Any) -> Freeze:
    """A freeze in force, of somebody who has proved who that is."""
    usual = {"scope": scope, "reason": "incident 42", "who": "grace", "proof": Proof.OIDC, "since": 1.0}
    return Freeze(**{**usual, **fields})


def change(
    name: str = "scorer",
    *,
    expects: int | None = 0,
    act: Act = Act.RECORD,
    to: ServiceState | None = None,
    change_id: str = "",
    fingerprint: str = "same",
    why: str = "because",
    delete: bool = False,
) -> Change:
    """A change of one service's record."""
    return Change(
        id=change_id or f"change-{next(_ids)}",
        fingerprint=fingerprint,
        act=act,
        entry=Entry(kind="test", services=(name,), who="ada", why=why),
        service=name,
        expects=expects,
        state=None if delete else to or state(name),
        delete=delete,
    )


def freezing(*freezes: Freeze, lift: tuple[Freeze, ...] = ()) -> Change:
    """A change that sets or lifts freezes."""
    names = tuple(f.scope for f in (*freezes, *lift))
    entry = Entry(kind="freeze_set", services=names, who="grace", why="incident 42")
    return Change(f"change-{next(_ids)}", "same", Act.RECORD, entry, freeze=freezes, lift=lift)


def excluding(node: str = "", reason: str = "it lies", *, include: str = "") -> Change:
    """A change that excludes a proxy, or includes one again."""
    exclusion = Exclusion(node=node, reason=reason, who="grace", since=1.0) if node else None
    entry = Entry(kind="proxy_excluded" if node else "proxy_included", who="grace", why=reason)
    return Change(f"change-{next(_ids)}", "same", Act.RECORD, entry, exclude=exclusion, include=include)


ENDPOINTS = {"v1": "127.0.0.1:9001", "v2": "127.0.0.1:9002", "v3": ""}


def service_file(
    name: str = "scorer",
    port: int = 10000,
    *,
    endpoints: Mapping[str, str] = ENDPOINTS,
    address: str = "",
    more: str = "",
    policy: str = "",
) -> str:
    """A service file in which v1 is stable.

    `endpoints` has the address of each version, or "" for one without; `address` is where the service listens. `more`
    are further lines, and `policy` those of the policy, indented by two. A `route_config` among the lines takes the
    place of the address and port, and `clusters: own` that of the endpoints.
    """
    listen = f"{{address: {address}, port: {port}}}" if address else f"{{port: {port}}}"
    listens = "" if "route_config:" in more else f"listen: {listen}\n"
    if "clusters: own" in more:
        versions = "".join(f"  {version}: {{cluster: model-{version}}}\n" for version in endpoints)
    else:
        quoted = {version: f'"{place}"' if place else "" for version, place in endpoints.items()}
        versions = "".join(f"  {version}: {{endpoints: [{place}]}}\n" for version, place in quoted.items())
    text = f"service: {name}\n{listens}versions:\n{versions}stable: v1\n{more}"
    return f"{text}policy:\n{policy}" if policy else text


MOVING = frozenset({Act.ADVANCE, Act.ROLLBACK, Act.FORCED_ROLLBACK, Act.DELETE, Act.FALLBACK})
"""The acts that may move weight."""


LAST = POLICY.model_copy(update={"steps": (500, 2500)})
"""A policy whose last step is the one that `state_in` reaches."""
FREEZE, HOLD = (freeze(),), (freeze(mode=Mode.HOLD),)
"""All services under a freeze, and under a hold."""
