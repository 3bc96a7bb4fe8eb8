"""Keeps this controller's record among those that share the store, and knows the others'."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from controller.core.model.actor import CONTROLLER
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.member import Member
from controller.core.model.roster import Roster
from controller.core.model.store_errors import StoreLost
from controller.ports.members import Members
from controller.ports.store import Term
from controller.process.periodic import every

EVERY = 2.0
"""Seconds between two renewals of the record: for so long another controller may show an older revision of this one."""

log = structlog.get_logger()


class Membership:
    """This controller's record, renewed while it runs, and the newest roster that was read."""

    def __init__(
        self, members: Members, me: Member, *, revision: Callable[[], int], proxies: Callable[[], int]
    ) -> None:
        """`revision` and `proxies` give what the record says of the moment."""
        self._members = members
        self._me = me
        self._revision = revision
        self._proxies = proxies
        self._roster = Roster((me,))
        self._term: Term | None = None
        self._is_renewed = True

    @property
    def me(self) -> Member:
        """This controller, as it is now."""
        now = {"revision": self._revision(), "proxies": self._proxies(), "writes": self._members.writes}
        return self._me.model_copy(update=now)

    @property
    def known(self) -> Roster:
        """The newest roster that was read; it may be old while the store is away, but never says that this controller
        decides once its term is over."""
        roster = self._roster
        if roster.leads(self._me) and (self._term is None or self._term.over):
            return roster._replace(leader=None)
        return roster

    @property
    def instance(self) -> str:
        """Names this run of the controller."""
        return self._me.instance

    @property
    def name(self) -> str:
        """This controller's name."""
        return self._me.name

    @property
    def leader(self) -> str:
        """The name of the one who decides; empty if that is not known."""
        leading = self.known.leading
        return leading.name if leading else ""

    def role(self) -> str:
        """`leader` if this controller decides, else `follower`."""
        return "leader" if self.known.leads(self._me) else "follower"

    def term_begun(self, term: Term) -> Entry:
        """The line of the ledger that says that this controller decides from now on."""
        self._term = term
        me = self._me
        details = {"controller": me.name, "instance": me.instance, "token": term.token}
        return Entry(kind=LedgerKind.TERM_BEGUN, who=CONTROLLER, why=f"{me.name} decides from now on", details=details)

    async def run(self) -> None:
        """Renew the record until cancelled, then take it away."""
        try:
            await every(EVERY, self._renew)
        finally:
            await self._members.withdraw()

    async def roster(self) -> Roster:
        """Every controller as the store has it now, this one as it is. `StoreLost` if the store cannot be read."""
        self._roster = await self._members.roster()
        return self._roster

    async def refresh(self, within: float | None = None) -> None:
        """Read the roster anew; the one that is known stays while the store is away, or does not answer within so many
        seconds."""
        with contextlib.suppress(StoreLost, TimeoutError):
            async with asyncio.timeout(within):
                await self.roster()

    async def _renew(self) -> None:
        try:
            await self._members.announce(self.me)
            await self.roster()
        except StoreLost as lost:
            if self._is_renewed:  # once for an outage
                log.info("record_not_renewed", reason=str(lost))
            self._is_renewed = False
            return
        self._is_renewed = True
        if any(self._me.yields_to(each) for each in self._roster.members):
            unique = f"{self._me.name[:58]}-{self._me.instance[:4]}"
            log.warning("name_taken", name=self._me.name, instead=unique)
            self._me = self._me.model_copy(update={"name": unique})
