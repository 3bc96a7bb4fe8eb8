"""From a gRPC status to the failure of a command: which exit code, which message, which hint."""

import contextlib
import re

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from controller.cli.failure import Exit, Failure
from controller.core.base.errors import Code, Violation
from controller.core.base.text import clean

_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION: Exit.NOT_POSSIBLE,
    grpc.StatusCode.ABORTED: Exit.NOT_POSSIBLE,
    grpc.StatusCode.UNAVAILABLE: Exit.UNREACHABLE,
    grpc.StatusCode.CANCELLED: Exit.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNREACHABLE,
}
"""The exit code of each status; of every other status it is `FAILED`."""

_ACCESS_HINTS: dict[str, str] = {
    Code.UNAUTHENTICATED: "sign in with `haldane login`, or bring --certificate and --key, or --token-file",
    Code.DENIED: "`haldane whoami` shows your roles; they are given by [[access]] in the controller's settings",
}

_LINE = re.compile(r"^line (\d+): ")
_HTTP1 = re.compile(r"http1\.x server|parsing HTTP/2")
"""In gRPC's message about a server that answers HTTP/2 with HTTP/1."""


def failure_of(error: grpc.RpcError, address: str, deadline: float = 0.0, request_id: str = "") -> Failure:
    """Why a call failed.

    `deadline` is in seconds; `request_id` is that of an act, empty for a query.
    """
    status = error.code()
    reason, violations = _details(error)
    message = clean(error.details() or status.name)
    if reason:
        # The message says whether it was done.
        hint = _repeat(request_id) if reason == Code.NOT_DURABLE else _ACCESS_HINTS.get(reason, "")
        shown = "the request is not valid:" if violations else message
        return Failure(_exit(status, reason), shown, code=reason, violations=violations, hint=hint)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return Failure(Exit.FAILED, f"the controller at {address} does not know this request: is it an older one?")
    exit_code = _exit(status, "")
    if exit_code is not Exit.UNREACHABLE:
        return Failure(exit_code, message, code=status.name, violations=violations)
    if _HTTP1.search(message):
        return wrong_port(address, "an HTTP port, such as that of the console")
    return _unreachable(status, message, address, deadline, request_id)


def interrupted(request_id: str) -> Failure:
    """An act that Ctrl-C ended before its response came."""
    return Failure(Exit.INTERRUPTED, "ended before the controller answered", hint=_retry(request_id))


def wrong_port(address: str, what: str) -> Failure:
    """The address is that of another port than the admin API's; `what` says of which."""
    hint = "`haldane serve` prints its admin address when it starts; name that with --admin HOST:PORT or HALDANE_ADMIN"
    message = f"{address} is not the admin API: it is {what}"
    return Failure(Exit.UNREACHABLE, message, code="WRONG_PORT", hint=hint)


def tls_failure(why: str) -> Failure:
    """The two ends do not come to a TLS connection; `why` is a sentence."""
    return Failure(Exit.UNREACHABLE, why, code="TLS")


def _unreachable(status: grpc.StatusCode, message: str, address: str, deadline: float, request_id: str) -> Failure:
    hint = (
        "is `haldane serve` running? It prints its admin address when it starts; "
        "name that with --admin HOST:PORT or HALDANE_ADMIN"
    )
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"the controller at {address} does not answer within {deadline:g} s"
    else:
        text = f"cannot reach the controller at {address}: {_innermost(message)}"
    certainly_not_done = "failed to connect" in message
    retry = "" if certainly_not_done else _retry(request_id)
    return Failure(Exit.UNREACHABLE, text, code=status.name, hint="\n".join(filter(None, (hint, retry))))


def _retry(request_id: str) -> str:
    return f"perhaps it was done: {_repeat(request_id)}" if request_id else ""


def _repeat(request_id: str) -> str:
    return f"the same command with --request-id {request_id} is safe to repeat" if request_id else ""


def _exit(status: grpc.StatusCode, reason: str) -> Exit:
    if reason == Code.FROZEN:
        return Exit.FROZEN
    if reason == Code.NOT_DURABLE:
        return Exit.FAILED  # the controller was reached, and said itself that it could not
    return _EXITS.get(status, Exit.FAILED)


def _details(error: grpc.RpcError) -> tuple[str, list[Violation]]:
    """The stable word of a refusal and its field violations, from the trailing metadata."""
    reason, violations = "", []
    for detail in _status(error).details:
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info) and info.domain == "haldane":
            reason = info.reason
        elif detail.Unpack(request):
            violations += [_violation(v.field, v.description) for v in request.field_violations]
    return reason, violations


def _violation(field: str, description: str) -> Violation:
    match = _LINE.match(description)
    line = int(match[1]) if match else 0
    return Violation(clean(field), clean(description[match.end() :] if match else description), line)


def _status(error: grpc.RpcError) -> status_pb2.Status:
    for item in error.trailing_metadata() or ():
        if item.key == "grpc-status-details-bin":
            with contextlib.suppress(DecodeError):
                return status_pb2.Status.FromString(item.value)
    return status_pb2.Status()


def _innermost(message: str) -> str:
    """The innermost sentence of gRPC's nested message about a failed connection."""
    innermost = message.rpartition("; last error: ")[2]
    return re.sub(r"^((UNKNOWN|UNAVAILABLE|ipv[46]:\S+): )+", "", innermost)
