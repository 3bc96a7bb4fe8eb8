"""What a change did to the stored state."""

from controller.core.base.value import Value
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze
from controller.core.model.service_state import ServiceState


class Effect(Value):
    """What a change did to the stored state: enough to do it again.

    `freezes` are all that are in force after it in the scopes that it touched, `lifted` those of these scopes that have
    none any more. `excluded` is a proxy that is excluded from now on, `included` the node id of one that no longer is.
    """

    service: str = ""
    state: ServiceState | None = None
    deleted: bool = False
    freezes: tuple[Freeze, ...] = ()
    lifted: tuple[str, ...] = ()
    excluded: Exclusion | None = None
    included: str = ""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes whose freezes it changed."""
        return frozenset({*self.lifted, *(f.scope for f in self.freezes)})
