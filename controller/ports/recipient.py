"""Who is notified of the ledger's lines."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.model.ledger_line import LedgerLine


class DeliveryError(Exception):
    """Lines were not delivered, and why. `final`: delivering the same again is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Recipient(Protocol):
    """Takes ledger lines: people, a program, a hook.

    `name` is unique among all recipients, `batch` the most lines of one delivery, `give_up` the seconds after which a
    line is too old to be delivered.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int: ...

    @property
    def give_up(self) -> float: ...

    def wants(self, line: LedgerLine) -> bool:
        """Whether it is to get this line. Raises nothing."""
        ...

    async def deliver(self, lines: Sequence[LedgerLine]) -> None:
        """Deliver these lines, within a bounded time. The same line may come twice.

        `DeliveryError`: perhaps delivered, in part or whole.
        """
        ...
