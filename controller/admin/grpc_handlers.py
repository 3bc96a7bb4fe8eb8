"""gRPC handlers of the admin API's methods: who calls, which refusal becomes which status, and what is logged.

A method is a plain coroutine `(request, caller) -> response`; a watch is an async iterator of responses. An error in
one of them ends its own call and nothing else.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from controller.admin.clean_messages import clean_message
from controller.admin.grpc_status import Status, status_of
from controller.admin.guard import current_admission
from controller.admin.request_scopes import declared_permission, needed_permission, scopes_named
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Code, Refusal

Context = grpc.aio.ServicerContext[Any, Any]
Handlers: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"
Method = Callable[[Any, Caller], Awaitable[Message]]
Watch = Callable[[Any, Caller], AsyncGenerator[Message, None]]
Unary = Callable[[bytes, Context], Awaitable[Message]]
Stream = Callable[[bytes, Context], Awaitable[None]]

log = structlog.get_logger()


def handlers(
    service: ServiceDescriptor, methods: Mapping[str, Method], watches: Mapping[str, Watch] | None = None
) -> Handlers:
    """The handlers of one service. ValueError unless every method of the .proto is there and no other."""
    watches = watches or {}
    declared = {method.name: method for method in service.methods}
    if set(declared) != {*methods, *watches}:
        raise ValueError(f"{service.full_name} declares {sorted(declared)}, not {sorted({*methods, *watches})}")
    built: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for name, descriptor in declared.items():
        kind = GetMessageClass(descriptor.input_type)
        write = GetMessageClass(descriptor.output_type).SerializeToString
        # Requests come as bytes, so that what cannot be read is refused here like everything else.
        if name in methods:
            built[name] = grpc.unary_unary_rpc_method_handler(_unary(descriptor, kind, methods[name]), None, write)
        else:
            built[name] = grpc.unary_stream_rpc_method_handler(_stream(descriptor, kind, watches[name]), None, write)
    return grpc.method_handlers_generic_handler(service.full_name, built)


def _unary(descriptor: MethodDescriptor, kind: type[Message], method: Method) -> Unary:
    permission = declared_permission(descriptor)

    async def call(data: bytes, context: Context) -> Message:
        try:
            request = _read(kind, data)
            response = await method(request, _admitted(request, permission))
            clean_message(response)
            return response
        except Exception as error:
            await _refuse(context, descriptor.full_name, error)

    return call


def _stream(descriptor: MethodDescriptor, kind: type[Message], watch: Watch) -> Stream:
    permission = declared_permission(descriptor)

    async def call(data: bytes, context: Context) -> None:
        try:
            request = _read(kind, data)
            # Written one by one: the next message is made only once the client has room for it.
            async with contextlib.aclosing(watch(request, _admitted(request, permission))) as messages:
                async for message in messages:
                    clean_message(message)
                    await context.write(message)
        except Exception as error:
            await _refuse(context, descriptor.full_name, error)

    return call


def _read(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Refusal(Code.INVALID, f"these bytes are not a {kind.DESCRIPTOR.full_name}") from None


def _admitted(request: Message, declared: Permission) -> Caller:
    """The caller, who may do what the request asks to every service that it names. `Refusal` with DENIED."""
    caller = current_admission().caller
    caller.require(needed_permission(request, declared), scopes_named(request))
    return caller


async def _refuse(context: Context, method: str, error: Exception) -> NoReturn:
    """End the call with the status that the error stands for."""
    if isinstance(error, Refusal):
        status = status_of(error)
        current_admission().record(error)
    else:
        status = Status(grpc.StatusCode.INTERNAL, "an error of the controller's own; its log says more")
        log.error("call_failed", method=method, exc_info=error)
    await context.abort(status.code, status.message, status.trailers)
