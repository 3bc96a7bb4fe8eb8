"""Certificates that expire soon are announced: in the log, by /readyz, and in the ledger for notifications."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from controller.core.model.actor import CONTROLLER
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import StoreError
from controller.ports.clock import Clock
from controller.ports.store import Store
from controller.process.periodic import every

DAY = 86_400.0
NOTICE = 14 * DAY
"""Seconds before its expiry that a certificate is announced from."""
LOOK = 60.0
"""Seconds between two looks."""

log = structlog.get_logger()


class Notice(NamedTuple):
    """A certificate that expires within `NOTICE`, or has expired."""

    certificate: str
    expires_at: float
    """Unix seconds."""
    days: int
    """Whole days that are left; below zero once it has expired."""

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{'expires' if self.days >= 0 else 'expired'} at {when}"


class CertificateWatch:
    """Watches when certificates expire. Each has one line a day in the log, and one in the ledger."""

    def __init__(self, expiries: Callable[[], Mapping[str, float]], clock: Clock) -> None:
        """`expiries` reads when each certificate in use expires, in Unix seconds."""
        self._expiries = expiries
        self._clock = clock
        self._logged: set[Notice] = set()
        self._recorded: set[Notice] = set()

    def notices(self) -> Iterator[Notice]:
        """The certificates that expire soon."""
        now = self._clock.wall()
        for certificate, expires_at in self._expiries().items():
            if expires_at - now < NOTICE:
                yield Notice(certificate, expires_at, int((expires_at - now) // DAY))

    def described(self) -> Mapping[str, str]:
        """Certificate -> when it expires, for people, of those that expire soon."""
        return {notice.certificate: str(notice) for notice in self.notices()}

    async def log(self) -> None:
        """Log each day, until cancelled."""
        await every(LOOK, self._log)

    async def record(self, store: Store, token: int) -> None:
        """Write each day's lines into the ledger, with this term's token, until cancelled."""

        async def write() -> None:
            for notice in set(self.notices()) - self._recorded:
                try:
                    await store.commit(_change(notice), token)
                except StoreError as error:
                    log.warning("not_recorded", kind=LedgerKind.CERTIFICATE_EXPIRES, reason=str(error))
                    return
                self._recorded.add(notice)

        await every(LOOK, write)

    async def _log(self) -> None:
        for notice in set(self.notices()) - self._logged:
            self._logged.add(notice)
            log.warning("certificate_expires", certificate=notice.certificate, reason=str(notice))


def _change(notice: Notice) -> Change:
    """The line of this day. Its id is the same after a restart, so it is written once."""
    entry = Entry(
        kind=LedgerKind.CERTIFICATE_EXPIRES,
        who=CONTROLLER,
        why=f"the {notice.certificate} certificate {notice}",
        details={"certificate": notice.certificate, "expires_at": notice.expires_at},
    )
    name = f"{entry.kind}/{notice.certificate}/{notice.expires_at:.0f}/{notice.days}"
    return Change(name, entry.kind, Act.RECORD, entry)
