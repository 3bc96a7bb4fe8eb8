"""A certificate that expires soon: one line a day, whatever restarts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import pytest
from structlog.testing import capture_logs

from controller.runtime.certificate_watch import DAY, NOTICE, CertificateWatch
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test controls."""
    return FakeClock()


def watch(clock: FakeClock, **left: float) -> CertificateWatch:
    """A watch over certificates that have so many seconds left."""
    expiries = {name: clock.wall() + seconds for name, seconds in left.items()}
    return CertificateWatch(lambda: expiries, clock)


@contextlib.asynccontextmanager
async def recording(watch: CertificateWatch, store: MemoryStore) -> AsyncIterator[None]:
    """The watch of a new term, until the end of the block."""
    term = await store.campaign("haldane")
    task = asyncio.create_task(watch.record(store, term.token))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.resign(term)


async def lines(store: MemoryStore) -> list[str]:
    """Which certificates the ledger says expire, in order."""
    events = await store.events()
    assert {(each.entry.kind, each.entry.services) for each in events} <= {("certificate_expires", ())}
    return [str(each.entry.details["certificate"]) for each in events]


def test_only_what_expires_soon_is_announced(clock: FakeClock) -> None:
    """From 14 days before, and for as long as it has expired."""
    notices = watch(clock, fresh=NOTICE + 1, soon=NOTICE - 1, now=10, over=-10).described()
    assert list(notices) == ["soon", "now", "over"]
    assert notices["now"].startswith("expires at 2023-")
    assert notices["over"].startswith("expired at 2023-")


async def test_the_ledger_has_one_line_a_day(clock: FakeClock) -> None:
    """Also when the controller restarts many times; a new certificate that expires soon has its own."""
    store = MemoryStore(clock=clock)
    expiries = {"controller": clock.wall() + 2.5 * DAY}
    for day in range(1, 5):
        for _ in range(3):
            async with recording(CertificateWatch(lambda: expiries, clock), store):
                await wait_until(partial(_has, store, day))
        clock.advance(DAY)
    assert await lines(store) == ["controller"] * 4
    async with recording(watch(clock, controller=DAY, client_ca=DAY), store):
        await wait_until(lambda: _has(store, 6))
    assert sorted(await lines(store)) == ["client_ca", *["controller"] * 5]


async def _has(store: MemoryStore, count: int) -> bool:
    return len(await store.events()) == count


async def test_the_log_has_one_line_a_day(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is looked at."""
    monkeypatch.setattr("controller.runtime.certificate_watch.LOOK", 0)
    expires = clock.wall() + 1.5 * DAY
    looks = 0

    def expiries() -> dict[str, float]:
        nonlocal looks
        looks += 1
        return {"controller": expires}

    def looked(more: int) -> bool:
        return looks > more

    with capture_logs() as logged:
        task = asyncio.create_task(CertificateWatch(expiries, clock).log())
        for day in range(1, 4):
            seen = looks
            await wait_until(partial(looked, seen + 3))
            assert len(logged) == day
            clock.advance(DAY)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {(line["event"], line["certificate"]) for line in logged} == {("certificate_expires", "controller")}
