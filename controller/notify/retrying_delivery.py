"""Delivery to one recipient, tried again with back-off until it succeeds or the lines are too old.

Lines that could not be delivered within the recipient's `give_up` are counted as lost, and one summary says so once the
recipient takes something again.
"""

import asyncio
from collections.abc import Sequence

import structlog

from controller.core.base.units import counted
from controller.core.model.actor import CONTROLLER
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.ports.clock import Clock
from controller.ports.meters import NotificationMeter
from controller.ports.recipient import DeliveryError, Recipient
from controller.process.backoff import backoff

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two attempts."""

log = structlog.get_logger()


class RetryingDelivery:
    """Delivers to one recipient, and counts the lines that it lost until a summary says so."""

    def __init__(self, recipient: Recipient, clock: Clock, meter: NotificationMeter) -> None:
        self._recipient = recipient
        self._clock = clock
        self._meter = meter
        self._lost = self._first_lost = self._last_lost = 0

    @property
    def owes_summary(self) -> bool:
        """Whether lines were lost of which the recipient does not know."""
        return bool(self._lost)

    async def deliver(self, batch: Sequence[LedgerLine]) -> None:
        """Deliver those of these lines that are not too old, again and again until the newest of them is."""
        fresh = [line for line in batch if self._age(line) < self._recipient.give_up]
        self._lose([line for line in batch if line not in fresh])
        if not fresh:
            return
        end = self._clock.monotonic() + self._recipient.give_up - self._age(fresh[-1])
        for pause in backoff(FIRST_PAUSE, LONGEST_PAUSE):
            if await self._attempt(fresh):
                return
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
        self._lose(fresh)

    async def summarize(self) -> None:
        """Try to deliver the summary of what was lost, if something was."""
        if self._lost and await self._send([self._summary()]):
            self._lost = self._first_lost = self._last_lost = 0

    async def _attempt(self, batch: Sequence[LedgerLine]) -> bool:
        """Deliver the summary if one is due, then these lines: whether they are delivered or refused for good."""
        await self.summarize()
        outcome = await self._send(batch) if not self._lost else ""
        if outcome:
            self._meter.count_notifications(self._recipient.name, outcome, len(batch))
        return bool(outcome)

    async def _send(self, lines: Sequence[LedgerLine]) -> str:
        """Deliver once: `delivered`, `refused` for good, or empty if it is worth trying again."""
        try:
            await self._recipient.deliver(lines)
        except DeliveryError as error:
            log.warning("notification_undelivered", target=self._recipient.name, reason=str(error), final=error.final)
            return "refused" if error.final else ""
        except Exception:
            log.exception("notification_failed", target=self._recipient.name)
            return ""
        return "delivered"

    def _lose(self, lines: Sequence[LedgerLine]) -> None:
        if not lines:
            return
        self._first_lost = self._first_lost or lines[0].sequence
        self._last_lost = lines[-1].sequence
        self._lost += len(lines)
        self._meter.count_notifications(self._recipient.name, "lost", len(lines))
        log.warning("notifications_lost", target=self._recipient.name, lines=len(lines), last=lines[-1].sequence)

    def _age(self, line: LedgerLine) -> float:
        """Seconds since the line was written."""
        return max(0.0, self._clock.wall() - line.at)

    def _summary(self) -> LedgerLine:
        """A line that is in no ledger, and has no hash."""
        first, last = self._first_lost, self._last_lost
        why = (
            f"{counted(self._lost, 'line')} from {first} to {last} could not be delivered in time; the ledger has them"
        )
        entry = Entry(
            kind=LedgerKind.NOTIFICATIONS_SKIPPED, who=CONTROLLER, why=why, details={"first": first, "last": last}
        )
        return LedgerLine(
            sequence=last, revision=0, at=self._clock.wall(), change_id="", entry=entry, previous="", hash=""
        )
