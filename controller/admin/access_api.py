"""Who calls, and what they may do: `haldane.admin.v1.Access`."""

from controller.admin.grpc_handlers import Handlers, handlers
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Refusal, Violation, invalid
from controller.core.model.freeze import ALL
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.login_config import LoginConfig


class Access:
    """Tells callers what the controller takes them for, and where they can log in."""

    def __init__(self, login: LoginConfig) -> None:
        self._login = login

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        service = pb.DESCRIPTOR.services_by_name["Access"]
        return handlers(service, {"WhoAmI": self.who_am_i, "Can": self.can, "GetLoginConfig": self.login_config})

    async def who_am_i(self, _request: pb.WhoAmIRequest, caller: Caller) -> pb.WhoAmIResponse:
        """The caller, as it was verified, and its roles."""
        principal = caller.principal
        return pb.WhoAmIResponse(
            who=caller.actor.name,
            verified_by=caller.actor.proof,
            unverified=caller.actor.unverified,
            grants=[pb.Grant(role=each.role, services=each.services) for each in caller.bindings or ()],
            subjects=sorted(principal.subjects) if principal else (),
            groups=sorted(principal.groups) if principal else (),
            spiffe=principal.spiffe if principal else "",
            restricted=caller.bindings is not None,
        )

    async def can(self, request: pb.CanRequest, caller: Caller) -> pb.CanResponse:
        """Whether the caller may do something to a service, which need not exist yet."""
        try:
            permission = Permission(request.permission)
        except ValueError:
            known = ", ".join(each for each in Permission if each is not Permission.PUBLIC)
            raise invalid([Violation("permission", f"is one of {known}")]) from None
        try:
            caller.require(permission, [request.service or ALL])
        except Refusal as refusal:
            return pb.CanResponse(allowed=False, reason=refusal.message)
        return pb.CanResponse(allowed=True)

    async def login_config(self, _request: pb.GetLoginConfigRequest, _caller: Caller) -> pb.LoginConfig:
        """What a device login needs; empty if nobody can log in here."""
        return pb.LoginConfig(**self._login._asdict())
