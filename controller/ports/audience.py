"""Who is notified of the ledger's lines."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.model.ledger_line import LedgerLine


class Undelivered(Exception):  # noqa: N818
    """What was to be told was not taken, and why. `final`: trying the same again is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Audience(Protocol):
    """Somebody who is told of the ledger's lines: people, a program, a hook.

    `name` is its own among all, `batch` the most lines it takes at once, `give_up` the seconds after which a line is
    too old to be told.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int: ...

    @property
    def give_up(self) -> float: ...

    def wants(self, line: LedgerLine) -> bool:
        """Whether it is to be told of this line."""
        ...

    async def tell(self, lines: Sequence[LedgerLine]) -> None:
        """Tell it; a line may come twice. Raises `Undelivered`; bounded in time."""
        ...
