"""How a command can end: the exit codes, and the failure that carries one to the door."""

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
    """A command that did not do what was asked: why, in words, and what can be done about it.

    `code` is the stable word of the refusal (`FROZEN`, `NO_ROLLOUT`, ...), or the gRPC status where there is none;
    `file` is the service file that the violations are in; `facts` are for programs alone.
    """

    def __init__(
        self,
        status: Exit,
        message: str,
        *,
        code: str = "",
        violations: Sequence[Violation] = (),
        file: str = "",
        hint: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or status.name
        self.violations = tuple(violations)
        self.file = file
        self.hint = hint
        self.facts = facts or {}

    def lines(self) -> list[str]:
        """What is said on standard error: each violation on a line of its own."""
        said = [f"error: {self.message}", *(self._told(violation) for violation in self.violations)]
        return [*said, *(f"hint: {line}" for line in self.hint.splitlines())]

    def document(self) -> dict[str, object]:
        """The same for programs."""
        violations = [{"field": v.field, "message": v.message, "line": v.line} for v in self.violations]
        return {"error": {"code": self.code, "message": self.message, "violations": violations}, **self.facts}

    def _told(self, violation: Violation) -> str:
        """In a file: `FILE:LINE: FIELD: MESSAGE`, the form that editors and CI jump to."""
        if not self.file:
            return f"  {violation}"
        where = f"{self.file}:{violation.line}" if violation.line else self.file
        what = f"{violation.field}: {violation.message}" if violation.field else violation.message
        return f"{where}: {what}"
