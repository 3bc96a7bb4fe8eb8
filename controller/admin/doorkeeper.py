"""Who may pass a door: the caller of a request and what it may do, logged and counted where it is refused."""

from dataclasses import dataclass

import structlog

from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Code, Refusal
from controller.ports.authenticator import Authenticator, Credentials
from controller.ports.meters import AccessMeter

log = structlog.get_logger()


class Doorkeeper:
    """Admits the requests of one door, such as `admin` or `http`."""

    def __init__(self, door: str, authenticator: Authenticator, meter: AccessMeter) -> None:
        self._door = door
        self._authenticator = authenticator
        self._meter = meter

    async def admit(self, method: str, permission: Permission | None, credentials: Credentials) -> "Admission":
        """The admission of a caller of this method, who has its permission for some service at least.

        `Refusal` with UNAUTHENTICATED or DENIED; also for a method that declares no permission, which nobody has.
        """
        who = credentials.peer
        try:
            caller = await self._authenticator.authenticate(credentials)
            who = caller.actor.name
            if permission is None:
                raise Refusal(Code.DENIED, f"{method} declares no permission, so nobody may call it")
            caller.require(permission, ())
        except Refusal as refusal:
            self.record(method, refusal, who)
            raise
        return Admission(caller, method, self)

    def record(self, method: str, refusal: Refusal, who: str) -> None:
        """Log and count a refusal, if it is about who calls."""
        if refusal.code in (Code.UNAUTHENTICATED, Code.DENIED):
            log.warning("denied", door=self._door, method=method, who=who, reason=refusal.message)
            self._meter.count_denied(self._door, refusal.code.value)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that has passed a door. What it asks for may still be denied by the services that it names."""

    caller: Caller
    method: str
    doorkeeper: Doorkeeper

    def record(self, refusal: Refusal) -> None:
        """Log and count a refusal, if it is about who calls."""
        self.doorkeeper.record(self.method, refusal, self.caller.actor.name)
