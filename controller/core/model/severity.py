"""How much a line of the ledger matters to people."""

from enum import IntEnum


class Severity(IntEnum):
    """How much it matters."""

    INFO = 1
    """All is well, and something happened."""
    WARNING = 2
    """Someone should know, or act, in working hours."""
    CRITICAL = 3
    """Wake someone up."""
