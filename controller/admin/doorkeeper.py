"""Who may pass a door: the caller of a request and what it may do, logged and counted where it is refused."""

from dataclasses import dataclass

import structlog

from controller.admin.denial_log import DenialLog
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Code, Refusal
from controller.ports.authenticator import Authenticator, Credentials
from controller.ports.meters import AccessMeter

_ABOUT_WHO_CALLS = (Code.UNAUTHENTICATED, Code.DENIED)

log = structlog.get_logger()


class Doorkeeper:
    """Admits the requests of one door, such as `admin` or `http`."""

    def __init__(self, door: str, authenticator: Authenticator, meter: AccessMeter) -> None:
        self._door = door
        self._authenticator = authenticator
        self._meter = meter
        self._denials = DenialLog(door)

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
            self.record(method, refusal, who, credentials.peer)
            raise
        return Admission(caller, method, credentials.peer, self)

    def record(self, method: str, refusal: Refusal, who: str, peer: str) -> None:
        """Log and count a refusal, if it is about who calls."""
        if refusal.code in _ABOUT_WHO_CALLS:
            self._denials.write(peer, method=method, who=who, reason=refusal.message)
            self._meter.count_denied(self._door, refusal.code.value)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that has passed a door. What it asks for may still be denied by the services that it names."""

    caller: Caller
    method: str
    peer: str
    """The host at the other end."""
    doorkeeper: Doorkeeper

    def record(self, refusal: Refusal) -> None:
        """Log a refusal, and count it if it is about who calls. The mistakes of strangers are not logged, since they
        can make as many as they like."""
        if refusal.code in _ABOUT_WHO_CALLS:
            self.doorkeeper.record(self.method, refusal, self.caller.actor.name, self.peer)
        elif self.caller.known:
            log.info("refused", method=self.method, code=refusal.code.value, reason=refusal.message)
