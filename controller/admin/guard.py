"""The guard of a gRPC server: it admits a call before its method runs, also to methods that are not our own."""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc

from controller.admin.doorkeeper import Admission, Doorkeeper
from controller.admin.grpc_status import status_of
from controller.admin.request_fields import peer_host, user_of
from controller.core.access.permission import Permission
from controller.core.base.errors import Refusal
from controller.ports.authenticator import Credentials
from controller.process.front import Peer

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

OTHERS: Mapping[str, Permission] = {
    "/grpc.health.v1.Health/Check": Permission.PUBLIC,
    "/grpc.health.v1.Health/List": Permission.PUBLIC,
    "/grpc.health.v1.Health/Watch": Permission.PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Permission.VIEW,
    "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus": Permission.VIEW,
    "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus": Permission.VIEW,
}
"""What the methods of others on the admin port ask of a caller. Those of our own API declare it in the .proto."""

_ADMISSION: ContextVar[Admission] = ContextVar("admission")


def current_admission() -> Admission:
    """The admission of the gRPC call that is being served."""
    return _ADMISSION.get()


def direct_peer(context: Context) -> Peer:
    """The peer of a server that clients connect to themselves."""
    return Peer(peer_host(context.peer()))


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # it is generic in the stubs alone
    """Admits calls by the permission of their method; a method without one is refused.

    `peer_of` tells who is at the other end of a call's connection.
    """

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        permissions: Mapping[str, Permission],
        peer_of: Callable[[Context], Peer] = direct_peer,
    ) -> None:
        self._doorkeeper = doorkeeper
        self._permissions = permissions
        self._peer_of = peer_of

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The method's handler behind the guard."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        return self._guarded(handler, method) if handler else handler  # none: UNIMPLEMENTED

    def _guarded(self, handler: Handler, method: str) -> Handler:
        permission = self._permissions.get(method)

        async def admit(context: Context) -> None:
            try:
                admission = await self._doorkeeper.admit(method, permission, self._credentials(context))
            except Refusal as refusal:
                status = status_of(refusal)
                await context.abort(status.code, status.message, status.trailers)
            _ADMISSION.set(admission)

        async def unary(request: Any, context: Context) -> Any:
            await admit(context)
            return await behaviour(request, context)

        async def stream(request: Any, context: Context) -> None:
            await admit(context)
            responses = behaviour(request, context)
            if not hasattr(responses, "__aiter__"):  # it writes them itself
                await responses
                return
            async for response in responses:
                await context.write(response)

        make, name = _KINDS[handler.request_streaming, handler.response_streaming]
        behaviour: Callable[[Any, Context], Any] = getattr(handler, name)
        guarded = stream if handler.response_streaming else unary
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _credentials(self, context: Context) -> Credentials:
        metadata = context.invocation_metadata() or ()
        peer = self._peer_of(context)
        authorization = next((str(value) for key, value in metadata if key == "authorization"), "")
        return Credentials(
            peer=peer.host,
            user=user_of(metadata),
            authorization=authorization,
            certificate=peer.certificate,
            user_id=peer.user_id,
        )


_KINDS: Mapping[tuple[bool, bool], tuple[Callable[..., Handler], str]] = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}
"""(request streaming, response streaming) -> what makes such a handler, and where a handler keeps its behaviour."""
