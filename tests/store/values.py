"""Small values of the domain for the store's tests: a service, changes of it, freezes."""

import itertools

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Freeze, Mode
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service import Endpoint, Listen, Policy, Service, Version
from controller.core.model.state import ServiceState

_ids = itertools.count(1)


def service(name: str = "scorer", *, port: int = 10000) -> Service:
    """A service with the versions v1 (stable) and v2."""
    versions = tuple(
        Version(name=version, endpoints=(Endpoint(host="127.0.0.1", port=9000 + i),))
        for i, version in enumerate(("v1", "v2"))
    )
    return Service(name=name, listen=Listen(port=port), versions=versions, stable="v1")


def state(name: str = "scorer", *, weight: int | None = None, source: str = "text") -> ServiceState:
    """A service as it stands; with `weight`, under a rollout that gives v2 so much."""
    rollout = None
    if weight is not None:
        rollout = Rollout(
            id="r1",
            service=name,
            stable="v1",
            canary="v2",
            policy=Policy(),
            phase=Phase.PROGRESSING,
            weight=weight,
        )
    return ServiceState(spec=service(name), source=source, stable="v1", rollout=rollout)


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


def freeze(
    scope: str = ALL,
    *,
    mode: Mode = Mode.FREEZE,
    since: float = 1.0,
    until: float | None = None,
    reason: str = "incident 42",
    who: str = "grace",
) -> Freeze:
    """A freeze in force."""
    return Freeze(scope=scope, mode=mode, reason=reason, who=who, since=since, until=until)


def freezing(*freezes: Freeze, lift: tuple[Freeze, ...] = ()) -> Change:
    """A change that sets or lifts freezes."""
    names = tuple(f.scope for f in (*freezes, *lift))
    entry = Entry(kind="freeze_set", services=names, who="grace", why="incident 42")
    return Change(f"change-{next(_ids)}", "same", Act.RECORD, entry, freeze=freezes, lift=lift)
