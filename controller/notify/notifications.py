"""Notifications follow the ledger, each recipient at its own pace: a rollback waits for none of them.

The ledger is the queue, and each recipient's position in it is stored, so that a restart goes on there. How lines are
delivered and tried again is in `retrying_delivery`.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import structlog

from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import StoreError
from controller.notify.retrying_delivery import LONGEST_PAUSE, RetryingDelivery
from controller.ports.clock import Clock
from controller.ports.cursors import Cursors
from controller.ports.meters import NotificationMeter
from controller.ports.observatory import Observatory
from controller.ports.recipient import Recipient
from controller.ports.store import Store
from controller.process.periodic import every

PAGE = 500
"""Lines read at once."""
ERROR_PAUSE = 5.0
"""Seconds until a recipient goes on after an error, such as a store that does not answer."""

log = structlog.get_logger()


class Notifications:
    """Delivers the ledger's lines to recipients, in order and at least once."""

    def __init__(
        self, *, store: Store, cursors: Cursors, observatory: Observatory, clock: Clock, meter: NotificationMeter
    ) -> None:
        self._store = store
        self._cursors = cursors
        self._observatory = observatory
        self._clock = clock
        self._meter = meter
        self._began = observatory.view().revision

    async def run(self, recipients: Sequence[Recipient]) -> None:
        """Deliver, until cancelled. An error with one recipient does not stop the others."""
        async with asyncio.TaskGroup() as tasks:
            for recipient in recipients:
                delivery = RetryingDelivery(recipient, self._clock, self._meter)
                tasks.create_task(every(ERROR_PAUSE, partial(self._serve, recipient, delivery)))

    async def _serve(self, recipient: Recipient, delivery: RetryingDelivery) -> None:
        """Follow the ledger until an error."""
        try:
            await self._deliver_lines(recipient, delivery)
        except StoreError as error:
            log.warning("notifications_wait", target=recipient.name, reason=str(error))
        except Exception:
            log.exception("notifications_failed", target=recipient.name)

    async def _deliver_lines(self, recipient: Recipient, delivery: RetryingDelivery) -> None:
        position = await self._position(recipient)
        while True:
            revision = self._observatory.view().revision
            lines = await self._store.events(after=position, limit=PAGE)
            for batch in _batches([line for line in lines if recipient.wants(line)], recipient.batch):
                await delivery.deliver(batch)
                await self._cursors.save_cursor(recipient.name, batch[-1].sequence)
            if lines:
                position = lines[-1].sequence
                await self._cursors.save_cursor(recipient.name, position)
                continue
            await self._wait_for_lines(revision, LONGEST_PAUSE if delivery.owes_summary else None)
            await delivery.summarize()

    async def _position(self, recipient: Recipient) -> int:
        """The sequence of the last line that the recipient is done with.

        A new recipient begins where the ledger ended when this object was made: it gets what has come since.
        """
        position = await self._cursors.load_cursor(recipient.name)
        if position is None:
            position = 0
            while past := [line for line in await self._store.events(after=position, limit=PAGE) if self._past(line)]:
                position = past[-1].sequence
            await self._cursors.save_cursor(recipient.name, position)
        return position

    def _past(self, line: LedgerLine) -> bool:
        return line.revision <= self._began

    async def _wait_for_lines(self, seen: int, longest: float | None) -> None:
        """Wait until the view is newer than revision `seen`, or `longest` seconds."""
        news = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                while self._observatory.view().revision <= seen:
                    news = await self._observatory.next(news)


def _batches(lines: Sequence[LedgerLine], size: int) -> Iterator[Sequence[LedgerLine]]:
    return (lines[start : start + size] for start in range(0, len(lines), size))
