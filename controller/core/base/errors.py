"""The refusals. Every 'no' of Haldane is one of these: typed, with a reason that a person can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Why something was refused. The doors map these to gRPC statuses, HTTP statuses and exit codes."""

    INVALID = "INVALID"
    """The request or the service file is wrong: see the violations."""
    NOT_FOUND = "NOT_FOUND"
    FROZEN = "FROZEN"
    """A freeze or hold is in force; the message says whose and why."""
    NO_ROLLOUT = "NO_ROLLOUT"
    ALREADY_RUNNING = "ALREADY_RUNNING"
    NOT_POSSIBLE = "NOT_POSSIBLE"
    """The rollout is in a phase that does not know this act."""
    NO_ENDPOINTS = "NO_ENDPOINTS"
    """Traffic would go into a void."""
    IN_USE = "IN_USE"
    """What would be removed or changed carries traffic."""
    STABLE_CHANGED = "STABLE_CHANGED"
    """A service file names another stable than the one that carries the traffic."""
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CONFLICT = "CONFLICT"
    """Somebody else was faster: read again, then try again."""
    NOT_DURABLE = "NOT_DURABLE"
    """The store could not make it durable; perhaps applied, never surely."""
    TOO_MANY = "TOO_MANY"
    """A limit is reached; the message says which."""
    DRAINING = "DRAINING"
    """The controller is stopping: ask again in a moment."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong in one place. `field` is a dotted path; `line` counts from 1, 0 where there is no text."""

    field: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.field}: {self.message}" if self.field else f"{where}{self.message}"


class Refusal(Exception):  # noqa: N818  (it is an answer, not a fault)
    """A refused request. `code` is for programs, the message for people, `violations` name every wrong field."""

    def __init__(self, code: Code, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.violations = tuple(violations)


def invalid(violations: Sequence[Violation]) -> Refusal:
    """The refusal of an invalid request: all violations at once."""
    return Refusal(Code.INVALID, "; ".join(map(str, violations)), violations)
