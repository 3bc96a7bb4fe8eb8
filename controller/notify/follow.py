"""Notifications follow the ledger, each audience at its own pace, so nobody waits for them: least of all a rollback.

The ledger is the queue. An audience that does not answer is tried again with back-off, and what it has not heard
waits in the ledger; how far it has come is stored, so a restart goes on there. A line that cannot be told within
the audience's `give_up` is old news: it is counted as lost, and summed up once the audience answers again.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from controller.core.base.units import counted
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.core.model.store_errors import StoreError
from controller.ports.audience import Audience, Undelivered
from controller.ports.clock import Clock
from controller.ports.cursors import Cursors
from controller.ports.meters import NotificationMeter
from controller.ports.observatory import Observatory
from controller.ports.store import Store

PAGE = 500
"""Lines read at once."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two attempts: doubled each time, and each a random part shorter, so that nobody is met by a crowd."""
STORE_PAUSE = 5.0
"""Seconds until it goes on after a fault, such as a store that does not answer."""

log = structlog.get_logger()


@dataclass(slots=True)
class Lost:
    """The lines that an audience has missed and not been told of."""

    count: int = 0
    first: int = 0
    last: int = 0

    def add(self, lines: Sequence[LedgerLine]) -> None:
        """More of them."""
        self.first = self.first or lines[0].sequence
        self.last = lines[-1].sequence
        self.count += len(lines)

    def clear(self) -> None:
        """The audience has been told."""
        self.count = self.first = self.last = 0


class Notifications:
    """Tells audiences of the ledger's lines, in order."""

    def __init__(
        self, *, store: Store, cursors: Cursors, observatory: Observatory, clock: Clock, meter: NotificationMeter
    ) -> None:
        self._store = store
        self._cursors = cursors
        self._observatory = observatory
        self._clock = clock
        self._meter = meter
        self._began = observatory.view().revision

    async def run(self, audiences: Sequence[Audience]) -> None:
        """Tell them, for ever. A fault with one of them ends nothing."""
        async with asyncio.TaskGroup() as tasks:
            for audience in audiences:
                tasks.create_task(self._keep_telling(audience))

    async def _keep_telling(self, audience: Audience) -> None:
        lost = Lost()
        while True:
            try:
                await self._follow(audience, lost)
            except StoreError as error:
                log.warning("notifications_wait", target=audience.name, reason=str(error))
            except Exception:
                log.exception("notifications_failed", target=audience.name)
            await asyncio.sleep(STORE_PAUSE)

    async def _follow(self, audience: Audience, lost: Lost) -> None:
        position = await self._begin(audience)
        while True:
            seen = self._observatory.view().revision
            lines = await self._store.events(after=position, limit=PAGE)
            for batch in _batches([line for line in lines if audience.wants(line)], audience.batch):
                await self._deliver(audience, batch, lost)
                await self._cursors.save_cursor(audience.name, batch[-1].sequence)
            if lines:
                position = lines[-1].sequence
                await self._cursors.save_cursor(audience.name, position)
                continue
            await self._news(seen, LONGEST_PAUSE if lost.count else None)
            if lost.count:
                await self._attempt(audience, (), lost)

    async def _begin(self, audience: Audience) -> int:
        """Where the audience was; if it is new, where the ledger was when this controller began: the past is no news,
        and what has come since is."""
        position = await self._cursors.load_cursor(audience.name)
        if position is None:
            position = 0
            while past := [line for line in await self._store.events(after=position, limit=PAGE) if self._past(line)]:
                position = past[-1].sequence
            await self._cursors.save_cursor(audience.name, position)
        return position

    def _past(self, line: LedgerLine) -> bool:
        return line.revision <= self._began

    async def _news(self, seen: int, patience: float | None) -> None:
        """Wait until the ledger can have grown, or until patience is over."""
        turn = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._observatory.view().revision <= seen:
                    turn = await self._observatory.next(turn)

    async def _deliver(self, audience: Audience, batch: Sequence[LedgerLine], lost: Lost) -> None:
        """Tell those of these lines that are still news, again and again until the newest of them is old."""
        fresh = [line for line in batch if self._age(line) < audience.give_up]
        self._lose(audience, [line for line in batch if line not in fresh], lost)
        if not fresh:
            return
        end = self._clock.monotonic() + audience.give_up - self._age(fresh[-1])
        for pause in _pauses():
            if await self._attempt(audience, fresh, lost):
                return
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
        self._lose(audience, fresh, lost)

    async def _attempt(self, audience: Audience, batch: Sequence[LedgerLine], lost: Lost) -> bool:
        """Sum up what was lost before, then tell these lines: whether they are done with, told or refused for good."""
        if lost.count and await self._tell(audience, [self._summary(lost)]):
            lost.clear()
        outcome = await self._tell(audience, batch) if batch and not lost.count else ""
        if outcome:
            self._meter.told(audience.name, outcome, len(batch))
        return bool(outcome)

    async def _tell(self, audience: Audience, lines: Sequence[LedgerLine]) -> str:
        """Tell these lines once: `delivered`, `refused` for good, or empty if it is worth trying again."""
        try:
            await audience.tell(lines)
        except Undelivered as error:
            log.warning("notification_undelivered", target=audience.name, reason=str(error), final=error.final)
            return "refused" if error.final else ""
        except Exception:
            log.exception("notification_failed", target=audience.name)
            return ""
        return "delivered"

    def _lose(self, audience: Audience, lines: Sequence[LedgerLine], lost: Lost) -> None:
        if lines:
            lost.add(lines)
            self._meter.told(audience.name, "lost", len(lines))
            log.warning("notifications_lost", target=audience.name, lines=len(lines), last=lines[-1].sequence)

    def _age(self, line: LedgerLine) -> float:
        return max(0.0, self._clock.wall() - line.at)

    def _summary(self, lost: Lost) -> LedgerLine:
        """Our own line to an audience that has missed some; it is in no ledger, and has no hash."""
        lines = counted(lost.count, "line")
        why = f"{lines} from {lost.first} to {lost.last} could not be told in time; the ledger has them"
        entry = Entry(
            kind=LedgerKind.NOTIFICATIONS_SKIPPED,
            who="haldane",
            why=why,
            details={"first": lost.first, "last": lost.last},
        )
        return LedgerLine(
            sequence=lost.last, revision=0, at=self._clock.wall(), change_id="", entry=entry, previous="", hash=""
        )


def _batches(lines: Sequence[LedgerLine], size: int) -> Iterator[Sequence[LedgerLine]]:
    return (lines[start : start + size] for start in range(0, len(lines), size))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE)
