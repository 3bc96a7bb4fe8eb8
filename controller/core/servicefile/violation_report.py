"""The violations found so far in a service file, and the lines of what has been read."""

from dataclasses import dataclass, field

from controller.core.base.errors import Violation
from controller.core.base.units import counted

MAX_VIOLATIONS = 100
"""Violations reported at once. A text with more is not a service file."""


@dataclass(slots=True)
class ViolationReport:
    """Collects violations. `lines` is path -> line of every field that was read."""

    violations: list[Violation]
    lines: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, message: str, line: int = 0) -> None:
        """Add a violation. Without a line it stands at the line of the field."""
        self.violations.append(Violation(path, message, line or self.lines.get(path, 1)))

    def is_clean(self, *paths: str) -> bool:
        """Whether these fields, and everything inside them, have no violation, so that their values are valid."""
        within = tuple(path + mark for path in paths for mark in ".[")
        return not any(v.field in paths or v.field.startswith(within) for v in self.violations)

    def in_order(self) -> tuple[Violation, ...]:
        """The violations by line: at most `MAX_VIOLATIONS`, then one that counts the rest."""
        ordered = sorted(self.violations, key=lambda violation: violation.line)
        first, rest = ordered[:MAX_VIOLATIONS], ordered[MAX_VIOLATIONS:]
        if not rest:
            return tuple(first)
        return (*first, Violation("", f"and {counted(len(rest), 'violation')} more", rest[0].line))
