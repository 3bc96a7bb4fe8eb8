"""gRPC handlers of the admin API's methods: who calls, which refusal becomes which status, and what is logged.

A method is a plain coroutine `(request, who) -> response`; a watch is an async iterator of responses. An error in one
of them ends its own call and nothing else.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from controller.admin.clean_messages import clean_message
from controller.admin.grpc_status import Status, status_of
from controller.admin.request_fields import caller, peer_host, user_of
from controller.core.base.errors import Code, Refusal

Context = grpc.aio.ServicerContext[Any, Any]
Handlers: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"
Method = Callable[[Any, str], Awaitable[Message]]
Watch = Callable[[Any, str], AsyncGenerator[Message, None]]

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
        full = f"{service.full_name}/{name}"
        # Requests come as bytes, so that what cannot be read is refused here like everything else.
        if name in methods:
            built[name] = grpc.unary_unary_rpc_method_handler(_unary(full, kind, methods[name]), None, write)
        else:
            built[name] = grpc.unary_stream_rpc_method_handler(_stream(full, kind, watches[name]), None, write)
    return grpc.method_handlers_generic_handler(service.full_name, built)


def _unary(name: str, kind: type[Message], method: Method) -> Callable[[bytes, Context], Awaitable[Message]]:
    async def call(data: bytes, context: Context) -> Message:
        try:
            response = await method(_read(kind, data), _who(context))
            clean_message(response)
            return response
        except Exception as error:
            await _refuse(context, name, error)

    return call


def _stream(name: str, kind: type[Message], watch: Watch) -> Callable[[bytes, Context], Awaitable[None]]:
    async def call(data: bytes, context: Context) -> None:
        try:
            # Written one by one: the next message is made only once the client has room for it.
            async with contextlib.aclosing(watch(_read(kind, data), _who(context))) as messages:
                async for message in messages:
                    clean_message(message)
                    await context.write(message)
        except Exception as error:
            await _refuse(context, name, error)

    return call


def _read(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Refusal(Code.INVALID, f"these bytes are not a {kind.DESCRIPTOR.full_name}") from None


def _who(context: Context) -> str:
    return caller(user_of(context.invocation_metadata() or ()), peer_host(context.peer()))


async def _refuse(context: Context, method: str, error: Exception) -> NoReturn:
    """End the call with the status that the error stands for."""
    if isinstance(error, Refusal):
        status = status_of(error)
        log.info("refused", method=method, code=error.code.value, reason=status.message)
    else:
        status = Status(grpc.StatusCode.INTERNAL, "an error of the controller's own; its log says more")
        log.error("call_failed", method=method, exc_info=error)
    await context.abort(status.code, status.message, status.trailers)
