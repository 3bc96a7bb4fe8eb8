"""A ledger to be followed, over the memory store, and recipients that hear it as a test has them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from controller.core.model.ledger_line import ChainEnd, Entry, LedgerLine, services_of
from controller.notify.notifications import Notifications
from controller.ports.recipient import DeliveryError, Recipient
from tests.fakes.clock import LoopClock
from tests.fakes.meter import FakeMeter
from tests.fakes.observatory import FakeObservatory
from tests.fakes.store import FaultyStore
from tests.support.waiting import wait_until


@dataclass
class Hearer:
    """A recipient. `does` is what it does with lines: take them (None), or raise."""

    name: str = "ops"
    batch: int = 1
    give_up: float = 900.0
    does: Callable[[], None] | None = None
    kinds: tuple[str, ...] = ()
    hangs: bool = False
    heard: list[LedgerLine] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    """When it was told, in the loop's time, well or not."""

    def wants(self, line: LedgerLine) -> bool:
        return not self.kinds or line.entry.kind in self.kinds

    async def deliver(self, lines: Sequence[LedgerLine]) -> None:
        self.calls.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.does:
            self.does()
        self.heard.extend(lines)

    @property
    def words(self) -> list[str]:
        """What it heard, in order."""
        return [line.entry.why for line in self.heard]

    @property
    def kinds_heard(self) -> list[str]:
        """The kinds of what it heard, in order."""
        return [line.entry.kind for line in self.heard]


def undelivered(*, final: bool = False) -> Callable[[], None]:
    """What a recipient does that does not take anything."""

    def refuse() -> None:
        raise DeliveryError("answered 500", final=final)

    return refuse


@dataclass
class Ledger:
    """A store whose ledger is written by the test and followed by notifications."""

    clock: LoopClock = field(default_factory=LoopClock)
    tally: FakeMeter = field(default_factory=FakeMeter)

    def __post_init__(self) -> None:
        self.store = FaultyStore(clock=self.clock)

    def write(self, *words: str, kind: str = "rollback", service: str = "scorer") -> None:
        """One line for each word."""
        for word in words:
            self.store.write(Entry(kind=kind, services=services_of(service), who="haldane", why=word))

    @contextlib.asynccontextmanager
    async def followed(self, *recipients: Recipient) -> AsyncIterator[None]:
        """Notifications to these recipients, until the end of the block: the end is a crash."""
        observatory = FakeObservatory(await self.store.load())
        notifications = Notifications(
            store=self.store, cursors=self.store, observatory=observatory, clock=self.clock, meter=self.tally
        )
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(observatory.follow(self.store))
            telling = tasks.create_task(notifications.run(recipients))
            yield
            following.cancel()
            telling.cancel()


async def heard(hearer: Hearer, *words: str) -> None:
    """Wait until it has heard this much, and see that it is this and in this order."""
    await wait_until(lambda: len(hearer.words) >= len(words))
    assert hearer.words == list(words)


def line(
    sequence: int, kind: str = "rollback", why: str = "harm", service: str = "scorer", **more: object
) -> LedgerLine:
    """A ledger line, at one in the morning."""
    entry = Entry.model_validate({"kind": kind, "service": service, "who": "haldane", "why": why, **more})
    return LedgerLine.after(
        ChainEnd(sequence - 1), revision=1, at=1_699_923_600.0 + sequence, change_id="c", entry=entry
    )
