"""A `Refusal` -> a gRPC status with details. Bounded: statuses travel in trailers, and clients take 8 KiB of those."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from controller.core.base.errors import Code, Refusal, Violation
from controller.core.base.text import clean
from controller.core.base.units import counted

DOMAIN = "haldane"
"""The domain of every ErrorInfo."""
DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC carries a google.rpc.Status."""
MAX_MESSAGE = 1024
"""Bytes of a status message as it is sent, percent-encoded."""
MAX_DETAILS = 3 * 1024
"""Bytes of the details before base64. With the message twice (in the status and in its details) below 8 KiB."""

_STATUSES = {
    Code.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    # The caller's mistake, and trying again will not help: the id belongs to another request.
    Code.REQUEST_ID_REUSED: grpc.StatusCode.INVALID_ARGUMENT,
    Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Code.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.CONFLICT: grpc.StatusCode.ABORTED,
    Code.NOT_DURABLE: grpc.StatusCode.UNAVAILABLE,
    Code.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Code.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Every other code is FAILED_PRECONDITION: right request, wrong moment."""


@dataclass(frozen=True, slots=True)
class Status:
    """What `ServicerContext.abort` takes."""

    code: grpc.StatusCode
    message: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def status_of(refusal: Refusal) -> Status:
    """The gRPC status of a refusal: the reason in words, ErrorInfo, and BadRequest with the field violations."""
    code = _STATUSES.get(refusal.code, grpc.StatusCode.FAILED_PRECONDITION)
    message = _bounded(refusal.message)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=refusal.code.value, domain=DOMAIN)]
    if refusal.violations:
        details.append(_bad_request(refusal.violations))
    status = status_pb2.Status(code=_number(code), message=message, details=map(_packed, details))
    return Status(code, message, ((DETAILS_KEY, status.SerializeToString()),))


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """As many violations as there is room for; the last one says how many more there are."""
    response = error_details_pb2.BadRequest()
    room = MAX_DETAILS
    for done, violation in enumerate(violations):
        where = f"line {violation.line}: " if violation.line else ""
        detail = response.FieldViolation(field=violation.field, description=_bounded(where + violation.message))
        room -= detail.ByteSize() + 4
        if room < 0:
            response.field_violations.add(description=f"and {counted(len(violations) - done, 'violation')} more")
            break
        response.field_violations.append(detail)
    return response


def _bounded(message: str) -> str:
    """The message on one line, cut so that its percent-encoded form stays in bounds."""
    message = clean(message)
    if len(message) <= MAX_MESSAGE and len(quote(message, safe=" ")) <= MAX_MESSAGE:
        return message
    kept, room = [], MAX_MESSAGE - 3
    for letter in message:
        room -= len(quote(letter, safe=" ", errors="replace"))
        if room < 0:
            break
        kept.append(letter)
    return "".join(kept) + "..."


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _number(code: grpc.StatusCode) -> int:
    return int(code_pb2.Code.Value(code.name))
