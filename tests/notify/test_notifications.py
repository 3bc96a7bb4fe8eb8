"""Notifications follow the ledger: in order, at least once, each recipient at its own pace, in the loop's time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.notify.ledger import Hearer, Ledger, heard, undelivered
from tests.support.waiting import wait_until

pytestmark = pytest.mark.looptime


async def begun(ledger: Ledger, *hearers: Hearer) -> None:
    """Wait until the recipients have found their places."""
    for hearer in hearers:
        await reached(ledger, hearer, 0)


async def reached(ledger: Ledger, hearer: Hearer, sequence: int) -> None:
    """Wait until the recipient's stored place is at that line, or later."""

    async def place() -> bool:
        cursor = await ledger.store.load_cursor(hearer.name)
        return cursor is not None and cursor >= sequence

    await wait_until(place)


async def test_lines_are_heard_in_the_ledgers_order() -> None:
    """What happens is told as it happens, and counted."""
    ledger, ops = Ledger(), Hearer()
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("one", "two")
        await heard(ops, "one", "two")
        ledger.write("three")
        await heard(ops, "one", "two", "three")
    assert ledger.tally.notified == {("ops", "delivered"): 3}


async def test_a_new_recipient_is_not_told_the_past() -> None:
    """A target that was just added to the settings hears what happens from then on, however long the ledger is."""
    ledger, ops = Ledger(), Hearer()
    ledger.write(*map(str, range(1200)))
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("new")
        await heard(ops, "new")


@pytest.mark.proves("track-record 62")
async def test_what_happens_before_a_new_recipient_has_found_its_place_is_told() -> None:
    """The past ends when the controller begins, not when the recipient has got round to looking."""
    ledger, ops = Ledger(), Hearer()
    ledger.write("past")
    async with ledger.followed(ops):
        ledger.write("at once")
        await heard(ops, "at once")


async def test_a_restart_goes_on_where_it_was() -> None:
    """What was written while no one told it is told after the restart; what was told is not told again."""
    ledger, before, after = Ledger(), Hearer(), Hearer()
    async with ledger.followed(before):
        await begun(ledger, before)
        ledger.write("one")
        await heard(before, "one")
    ledger.write("two")
    async with ledger.followed(after):
        await heard(after, "two")


async def test_after_a_long_outage_old_lines_are_summed_up() -> None:
    """A flood of old news helps no one: one line says how many there were and where they are to be found."""
    ledger, before, after = Ledger(), Hearer(), Hearer(give_up=900)
    async with ledger.followed(before):
        await begun(ledger, before)
    ledger.write(*map(str, range(40)))
    await asyncio.sleep(3600)
    ledger.write("fresh")
    async with ledger.followed(after):
        await heard(after, "40 lines from 1 to 40 could not be delivered in time; the ledger has them", "fresh")
    assert after.kinds_heard == ["notifications_skipped", "rollback"]
    assert ledger.tally.notified == {("ops", "lost"): 40, ("ops", "delivered"): 1}


async def test_one_that_hangs_holds_up_nobody_else() -> None:
    """Each recipient goes at its own pace."""
    ledger, hung, ops = Ledger(), Hearer("hung", hangs=True), Hearer("ops")
    async with ledger.followed(hung, ops):
        await begun(ledger, hung, ops)
        start = asyncio.get_running_loop().time()
        ledger.write("one", "two", "three")
        await heard(ops, "one", "two", "three")
        assert asyncio.get_running_loop().time() - start < 1
    assert len(hung.calls) == 1


async def test_one_that_flaps_hears_everything_once_and_in_order() -> None:
    """A receiver that is away for minutes misses nothing; it is asked ever less often meanwhile."""
    ledger, ops = Ledger(), Hearer(does=undelivered())
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("one", "two")
        await asyncio.sleep(600)
        ops.does = None
        await heard(ops, "one", "two")
    pauses = [later - earlier for earlier, later in zip(ops.calls, ops.calls[1:], strict=False)]
    assert 8 <= len(ops.calls) <= 30
    assert 0.5 <= pauses[0] <= 1.0
    assert all(30 <= pause <= 60 for pause in pauses[7:-1])
    assert ledger.tally.notified == {("ops", "delivered"): 2}


async def test_a_line_is_given_up_when_it_is_old_news() -> None:
    """It is counted as lost; as soon as the receiver is back it hears what it missed, with nothing new needed."""
    ledger, ops = Ledger(), Hearer(give_up=60, does=undelivered())
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("one", "two")
        await wait_until(lambda: ledger.tally.notified.get(("ops", "lost")) == 2, every=1)
        ops.does = None
        await heard(ops, "2 lines from 1 to 2 could not be delivered in time; the ledger has them")
        ledger.write("three")
        await heard(ops, ops.words[0], "three")
    assert ledger.tally.notified == {("ops", "lost"): 2, ("ops", "delivered"): 1}


async def test_what_is_refused_for_good_is_not_sent_again() -> None:
    """One event that a receiver cannot take does not stop the ones after it."""
    ledger, ops = Ledger(), Hearer(does=undelivered(final=True))
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("one")
        await wait_until(lambda: ledger.tally.notified == {("ops", "refused"): 1}, every=1)
        ops.does = None
        ledger.write("two")
        await heard(ops, "two")
    assert len(ops.calls) == 2


async def test_a_summary_that_is_refused_for_good_does_not_stop_the_rest() -> None:
    """Also our own line to them may be one that they cannot take."""
    ledger, ops = Ledger(), Hearer(give_up=60, does=undelivered())
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("one")
        await wait_until(lambda: ledger.tally.notified.get(("ops", "lost")) == 1, every=1)
        ops.does = undelivered(final=True)
        calls = len(ops.calls)
        await wait_until(lambda: len(ops.calls) > calls, every=1)
        ops.does = None
        ledger.write("two")
        await heard(ops, "two")


async def test_many_lines_at_once_are_one_message() -> None:
    """People get what piled up in one message; after a crash in the middle of it, again."""
    ledger, people = Ledger(), Hearer(batch=500)
    async with ledger.followed(people):
        await begun(ledger, people)
        ledger.write(*map(str, range(300)))
        await heard(people, *map(str, range(300)))
    assert len(people.calls) <= 2


async def test_a_fault_in_one_recipient_ends_nothing() -> None:
    """A bug in one adapter is logged, its line is tried again, and the others hear theirs."""

    def fail() -> None:
        raise KeyError("a bug")

    ledger, faulty, ops = Ledger(), Hearer("faulty", does=fail), Hearer("ops")
    with capture_logs() as logs:
        async with ledger.followed(faulty, ops):
            await begun(ledger, faulty, ops)
            ledger.write("one")
            await heard(ops, "one")
            await wait_until(lambda: len(faulty.calls) >= 3, every=1)
            faulty.does = None
            await heard(faulty, "one")
    assert "notification_failed" in [line["event"] for line in logs]


async def test_a_store_that_does_not_answer_is_asked_again() -> None:
    """Nothing is lost while the store is away."""
    ledger, ops = Ledger(), Hearer()
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.store.away = True
        ledger.write("one")
        await asyncio.sleep(120)
        assert ops.words == []
        ledger.store.away = False
        await heard(ops, "one")


async def test_lines_that_nobody_wants_are_passed_over() -> None:
    """They are not told, not counted, and not read again after a restart."""
    ledger, ops = Ledger(), Hearer(kinds=("rollback",))
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.write("no", "no", kind="step_advanced")
        ledger.write("yes")
        ledger.write("no", kind="step_advanced")
        await heard(ops, "yes")
        await reached(ledger, ops, 4)
    assert ledger.tally.notified == {("ops", "delivered"): 1}


async def test_a_wall_clock_that_jumps_forward_loses_no_new_line() -> None:
    """Age counts from when a line was written, by the clock that it was written with."""
    ledger, ops = Ledger(), Hearer()
    async with ledger.followed(ops):
        await begun(ledger, ops)
        ledger.clock.jump(7200)
        ledger.write("one")
        await heard(ops, "one")
        ledger.clock.jump(-14400)
        ledger.write("two")
        await heard(ops, "one", "two")
