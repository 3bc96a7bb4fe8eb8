"""What a controller says of itself and of who decides."""

from structlog.testing import capture_logs

from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.core.model.store_errors import StoreLost
from controller.ports.store import Term
from tests.fakes.membership import alone


class Records:
    """Records that say that this controller decides, also once the store is away."""

    writes = Writes.YES

    def __init__(self) -> None:
        self.away = False
        self.member: Member | None = None

    async def announce(self, member: Member) -> None:
        if self.away:
            raise StoreLost("etcd does not answer")
        self.member = member

    async def withdraw(self) -> None:
        self.member = None

    async def roster(self) -> Roster:
        if self.away or self.member is None:
            raise StoreLost("etcd does not answer")
        return Roster.of([self.member], Leader(self.member.instance, 7, 0.0))


async def test_who_has_lost_its_term_is_no_leader_whatever_was_read_last() -> None:
    """While etcd has no majority the key of the former term is the last that was seen."""
    records, term = Records(), Term(7)
    membership = alone(records)
    await membership._renew()
    assert membership.role() == "follower"
    membership.term_begun(term)
    assert (membership.role(), membership.leader) == ("leader", "alone")
    records.away = True
    await membership.refresh()
    assert membership.role() == "leader"
    term.end()
    assert (membership.role(), membership.leader) == ("follower", "")
    assert membership.known.leader is None


async def test_an_outage_is_one_line_of_the_log() -> None:
    """And another one is another line."""
    records = Records()
    membership = alone(records)
    with capture_logs() as logs:
        for away in (True, True, True, False, True, True):
            records.away = away
            await membership._renew()
    assert [line["event"] for line in logs] == ["record_not_renewed"] * 2
