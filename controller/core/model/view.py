"""Everything that the store holds, at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
