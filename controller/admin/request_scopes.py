"""What a request of the admin API asks of its caller: a permission, and the services that it is about."""

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from controller.core.access.permission import Permission
from controller.core.model.freeze import ALL, Mode
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def declared_permission(method: MethodDescriptor) -> Permission:
    """What the .proto says that a caller of this method needs. ValueError if it says nothing, or no permission."""
    declared: str = method.GetOptions().Extensions[pb.permission]  # type: ignore[index]  # the stubs know no extensions
    return Permission(declared)


def needed_permission(request: Message, declared: Permission) -> Permission:
    """What this very request needs: to force a rollback, or to freeze what is more than a hold, takes more than its
    method does."""
    if isinstance(request, pb.RollbackRequest) and request.force:
        return Permission.FORCE_ROLLBACK
    if isinstance(request, pb.FreezeRequest) and request.mode != Mode.HOLD:
        return Permission.FREEZE
    return declared


def scopes_named(request: Message) -> tuple[str, ...]:
    """The services that a request names, `*` for all of them; none where it names them in another way, such as in a
    service file, or asks for whatever the caller may see."""
    if getattr(request, "all", False) or (isinstance(request, pb.RetryRequest) and not request.service):
        return (ALL,)
    if isinstance(request, pb.ExcludeProxyRequest | pb.IncludeProxyRequest):
        return (ALL,)  # the evidence of every service that the proxy serves
    if service := getattr(request, "service", ""):
        return (service,)
    return tuple(getattr(request, "services", ()))
