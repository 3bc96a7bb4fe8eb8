"""The controllers that share a store, and which of them decides."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from controller.core.model.member import Member


class Leader(NamedTuple):
    """The holder of the present term."""

    instance: str
    token: int
    since: float
    """Unix seconds at which the term began."""


class Roster(NamedTuple):
    """Everyone whose record has not run out, by name, and the present term, if there is one."""

    members: tuple[Member, ...] = ()
    leader: Leader | None = None

    @classmethod
    def of(cls, members: Iterable[Member], leader: Leader | None) -> Self:
        """Without the records of earlier runs, which have not run out yet."""
        every = list(members)
        present = [each for each in every if not any(other.succeeds(each) for other in every)]
        return cls(tuple(sorted(present, key=lambda each: (each.name, each.instance))), leader)

    @property
    def leading(self) -> Member | None:
        """The one who decides; None if nobody does, or its record is not here yet."""
        return next((each for each in self.members if self.leads(each)), None)

    @property
    def revision(self) -> int:
        """The newest revision that any of them serves."""
        return max((each.revision for each in self.members), default=0)

    def older_than(self, records: int) -> tuple[Member, ...]:
        """Those that write records of an older schema than that."""
        return tuple(each for each in self.members if each.records < records)

    def leads(self, member: Member) -> bool:
        """Whether that one decides."""
        return self.leader is not None and self.leader.instance == member.instance
