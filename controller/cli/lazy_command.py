"""An entry in the table of commands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is defined (`module:attribute`), its line in `--help`, and the distributions
    that it needs."""

    target: str
    summary: str
    needs: tuple[str, ...] = ()
