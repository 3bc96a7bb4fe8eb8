"""Everything that the store holds, at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_

from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Act, Freeze, blocking_freeze
from controller.core.model.service_state import ServiceState


@dataclass(frozen=True, slots=True)
class View:
    """Everything at one revision. `broken` names records that could not be read, each with what is wrong with it."""

    store_id: str
    revision: int
    services: Mapping[str, ServiceState]
    freezes: tuple[Freeze, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()
    """The excluded proxies, by node id."""

    def blocking_freeze(self, service: str, act: Act) -> Freeze | None:
        """The freeze that stops this act on this service, if any."""
        return blocking_freeze(self.freezes, service, act)


def has_same_services(before: View, after: View) -> bool:
    """Whether no service is another value than before. Views share what did not change between them, so nothing is
    compared but which objects they are."""
    old, new = before.services, after.services
    return len(old) == len(new) and all(map(is_, old.values(), new.values())) and old.keys() == new.keys()


def retreats(before: View, after: View) -> bool:
    """Whether some service's traffic leaves a version that may do harm: a canary loses weight, or all of it goes to
    the declared fallback."""
    return any(
        old is not new and _retreats(old, new)
        for name, new in after.services.items()
        if (old := before.services.get(name))
    )


def _retreats(before: ServiceState, after: ServiceState) -> bool:
    if after.diverted or before.diverted:
        return not before.diverted
    canary = before.rollout.canary if before.rollout else ""
    return after.weights.get(canary, 0) < before.weights.get(canary, 0)
