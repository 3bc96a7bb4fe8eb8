"""The records of controllers for a store that lives in one process. Implements `ports.members.Members`."""

from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.ports.store import Term


class LocalMembers:
    """Kept in memory: they end with the process, as its controllers do."""

    writes = Writes.YES  # there are no others

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._term: Term | None = None
        self._leader: Leader | None = None

    async def announce(self, member: Member) -> None:
        """Keep the record."""
        self._members[member.instance] = member

    def remove(self, instance: str) -> None:
        """Drop the record of a controller that has ended: nothing if there is none."""
        self._members.pop(instance, None)

    async def withdraw(self) -> None:
        """Nothing: the records end with the process."""

    async def roster(self) -> Roster:
        """Every record, and who decides."""
        leads = self._term is not None and not self._term.over
        return Roster.of(self._members.values(), self._leader if leads else None)

    def begin(self, term: Term, instance: str, since: float) -> None:
        """A term of that instance has begun, at that wall-clock time."""
        self._term, self._leader = term, Leader(instance, term.token, since)
