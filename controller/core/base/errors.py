"""The errors of the API: typed, each with a reason that a person can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Why a request failed. The listeners map these to gRPC statuses, HTTP statuses and exit codes."""

    INVALID = "INVALID"
    """The request or the service file is invalid: see the violations."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """Nobody knows who calls: a client certificate or a token is needed, or it is not valid."""
    DENIED = "DENIED"
    """The caller has no role that allows it."""
    NOT_FOUND = "NOT_FOUND"
    FROZEN = "FROZEN"
    """A freeze or hold is in force. The message says whose and why."""
    NO_ROLLOUT = "NO_ROLLOUT"
    ALREADY_RUNNING = "ALREADY_RUNNING"
    NOT_POSSIBLE = "NOT_POSSIBLE"
    """Not possible in the phase of the rollout."""
    NO_ENDPOINTS = "NO_ENDPOINTS"
    """The version has no healthy upstream."""
    IN_USE = "IN_USE"
    """What the request removes or changes carries traffic."""
    STABLE_CHANGED = "STABLE_CHANGED"
    """The service file names another stable than the one that carries the traffic."""
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CONFLICT = "CONFLICT"
    """Another act was faster. Read the state again, then retry."""
    NOT_DURABLE = "NOT_DURABLE"
    """The store could not make it durable (perhaps applied), or could not be read. Retry with the same request id."""
    TOO_MANY = "TOO_MANY"
    """A limit is reached. The message says which."""
    DRAINING = "DRAINING"
    """The controller is stopping. Retry in a moment."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One mistake in one place. `field` is a dotted path; `line` counts from 1, and is 0 if there is no text."""

    field: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.field}: {self.message}" if self.field else f"{where}{self.message}"


class Refusal(Exception):  # noqa: N818  (an expected result, not a fault)
    """A request that fails. `code` is for programs, the message for people, `violations` names every invalid field."""

    def __init__(self, code: Code, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.violations = tuple(violations)

    @classmethod
    def of_file(cls, message: str) -> "Refusal":
        """A whole file is invalid."""
        return cls(Code.INVALID, message)


def invalid(violations: Sequence[Violation]) -> Refusal:
    """The refusal of an invalid request: all violations at once."""
    return Refusal(Code.INVALID, "; ".join(map(str, violations)), violations)
