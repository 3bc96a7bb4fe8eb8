"""Who calls, with all that they may do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.core.access.binding import Binding
from controller.core.access.permission import Permission
from controller.core.access.principal import Principal
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Actor
from controller.core.model.freeze import ALL, Freeze, Mode


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request. `bindings` are those that name the caller; None where the settings bind nobody: then
    whoever reaches a door may do everything, and its name is what it says."""

    actor: Actor
    bindings: tuple[Binding, ...] | None = None
    principal: Principal | None = None

    @property
    def known(self) -> bool:
        """Whether it has proved who it is, or need not."""
        return self.principal is not None or self.bindings is None

    def may(self, permission: Permission, scope: str) -> bool:
        """Whether it may do that to a service, or to all services if the scope is `*`."""
        if permission is Permission.PUBLIC or self.bindings is None:
            return True
        return any(binding.grants(permission, scope) for binding in self.bindings)

    def may_somewhere(self, permission: Permission) -> bool:
        """Whether there may be a service that it may do that to."""
        if permission is Permission.PUBLIC or self.bindings is None:
            return True
        return any(binding.allows(permission) for binding in self.bindings)

    def require(self, permission: Permission, scopes: Iterable[str]) -> None:
        """`Refusal` with DENIED unless it may do that to each of these scopes; without any, to some service."""
        wanted = tuple(scopes)
        refused = [scope for scope in wanted if not self.may(permission, scope)]
        if refused or not (wanted or self.may_somewhere(permission)):
            raise self._denial(permission, refused)

    def may_lift(self, freeze: Freeze) -> bool:
        """Whether it may lift that freeze or hold: one of its own, or any with `lift`."""
        own = Permission.FREEZE if freeze.mode is Mode.FREEZE else Permission.HOLD
        if freeze.actor == self.actor and self.may(own, freeze.scope):
            return True
        return self.may(Permission.LIFT, freeze.scope)

    def visible(self, scopes: Sequence[str]) -> bool:
        """Whether it may see what concerns these services: any of them, or all services. What concerns none, such as a
        proxy's NACK, is for everybody who may see something."""
        return not scopes or any(scope == ALL or self.may(Permission.VIEW, scope) for scope in scopes)

    def _denial(self, permission: Permission, scopes: Sequence[str]) -> Refusal:
        if self.principal is None:
            needed = "a client certificate or a token is needed"
            return Refusal(Code.UNAUTHENTICATED, needed)
        what = permission.replace("_", " ")
        where = ", ".join("all services" if scope == ALL else scope for scope in scopes[:5]) or "any service"
        return Refusal(Code.DENIED, f"{self.actor.name} has no role that allows `{what}` on {where}")


def caller_of(principal: Principal, bindings: Iterable[Binding]) -> Caller:
    """The caller that a principal is, with the bindings that name it."""
    named = tuple(binding for binding in bindings if binding.names(principal))
    return Caller(Actor(principal.name, principal.proof), named, principal)
