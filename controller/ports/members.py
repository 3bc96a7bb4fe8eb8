"""Who shares the store: each controller keeps a record of itself there."""

from typing import Protocol

from controller.core.model.member import Member, Writes
from controller.core.model.roster import Roster


class Members(Protocol):
    """The records of the controllers that have the store open."""

    @property
    def writes(self) -> Writes:
        """Whether this controller stores changes beside the others."""
        ...

    async def announce(self, member: Member) -> None:
        """Store or renew this controller's record; one that is not renewed runs out. `StoreLost`: perhaps it was."""
        ...

    async def withdraw(self) -> None:
        """Take this controller's record away. Raises nothing: a record that cannot be taken away runs out."""
        ...

    async def roster(self) -> Roster:
        """Every record, and who decides. `StoreLost` if the store cannot be read."""
        ...
