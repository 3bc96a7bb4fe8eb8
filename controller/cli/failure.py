"""How a command can end: the exit codes, and the failure that carries one to the entry point."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import click

from controller.core.base.errors import Violation


class Exit(IntEnum):
    """The exit codes that scripts rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """Wrong usage, or an invalid service file."""
    FROZEN = 3
    """Refused: a freeze or hold is in force."""
    NOT_FOUND = 4
    NOT_POSSIBLE = 5
    """Refused: not possible now."""
    UNREACHABLE = 6
    """The controller cannot be reached."""
    NOT_REACHED = 7
    """`wait` ended otherwise, or timed out."""
    INTERRUPTED = 130
    """Ended by Ctrl-C: the code that shells have for it."""


class Failure(click.ClickException):
    """A command that did not do what was asked: why, and what the operator can do about it.

    `code` is the stable word of the refusal (`FROZEN`, `NO_ROLLOUT`, ...), or the gRPC status where
    there is none; `facts` appear only in the JSON document.
    """

    def __init__(
        self,
        status: Exit,
        message: str,
        *,
        code: str = "",
        violations: Sequence[Violation] = (),
        hint: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or status.name
        self.violations = tuple(violations)
        self.hint = hint
        self.facts = facts or {}

    def lines(self) -> list[str]:
        """The lines for standard error: the message, each violation, each hint."""
        lines = [f"error: {self.message}", *self.violation_lines()]
        return [*lines, *(f"hint: {line}" for line in self.hint.splitlines())]

    def violation_lines(self) -> list[str]:
        """Each violation on a line of its own."""
        return [f"  {violation}" for violation in self.violations]

    def document(self) -> dict[str, object]:
        """The same as a JSON document."""
        violations = [{"field": v.field, "message": v.message, "line": v.line} for v in self.violations]
        return {"error": {"code": self.code, "message": self.message, "violations": violations}, **self.facts}
