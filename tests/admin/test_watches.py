"""Watching: the present at once, then every change; bounded, and ended in words."""

import asyncio
from collections.abc import Callable

import grpc
import pytest

from controller.admin.grpc_api import PAGE
from controller.admin.request_fields import USER
from controller.admin.watch_streams import MAX_WATCHES, MAX_WATCHES_PER_CLIENT
from controller.core.model.ledger_line import Entry, services_of
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.observatory import Live
from tests.admin.doors import Doors, refused

SOON = 10.0
"""Seconds in which a condition must come true."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110  (any condition, not one event)
            await asyncio.sleep(0.005)


def watch(doors: Doors, service: str = "scorer", user: str = "ada") -> grpc.aio.UnaryStreamCall:
    request, metadata = pb.WatchRolloutRequest(service=service), ((USER, user),)
    return doors.api.rollouts.WatchRollout(request, timeout=SOON, metadata=metadata)


def start(doors: Doors) -> object:
    return doors.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))


async def test_a_watch_shows_the_present_at_once_and_then_each_change(served: Doors) -> None:
    """IDLE first, WARMING as soon as somebody starts, then what the judge says."""
    call = watch(served)
    assert (await call.read()).phase == "IDLE"
    await start(served)
    assert (await call.read()).phase == "WARMING"
    await served.observatory.see("scorer", Live(remark="waits for proof"))
    assert list((await call.read()).reasons) == ["waits for proof"]


async def test_a_watch_says_nothing_when_nothing_is_new(served: Doors) -> None:
    """ServiceReader that see the same are not sent, so that a quiet service costs its watchers nothing."""
    call = watch(served)
    await call.read()
    for second in range(3):
        await served.observatory.see("scorer", Live(updated_at=2000.0 + second))
    await start(served)
    assert (await call.read()).phase == "WARMING"


async def test_a_slow_reader_skips_to_the_newest(served: Doors) -> None:
    """Who reads slower than things happen sees the newest state next, never a queue of old ones."""
    await start(served)
    call = watch(served)
    await call.read()
    for look in range(50):
        await served.observatory.see("scorer", Live(remark=f"look {look}"))
    seen = []
    while "look 49" not in seen:
        seen.extend((await call.read()).reasons)
    assert len(seen) < 50
    assert seen == sorted(seen, key=lambda text: int(text.split()[1]))


async def test_a_watch_never_goes_back(served: Doors) -> None:
    """The first message shows the store's newest word, also where what is served is a moment behind it."""
    before = served.observatory.view()
    await start(served)
    served.observatory.show(before)
    call = watch(served)
    assert (await call.read()).phase == "WARMING"
    await served.observatory.see("scorer", Live(remark="still behind"))
    assert (await call.read()).phase == "WARMING"


async def test_a_watch_of_an_unknown_service_is_refused(served: Doors) -> None:
    """NOT_FOUND, like every other question about it."""
    with refused() as told:
        await watch(served, "nobody").read()
    assert (told.status, told.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_watch_ends_when_its_service_is_deleted(served: Doors) -> None:
    """Its end says that the service is gone."""
    call = watch(served)
    await call.read()
    await served.api.catalog.DeleteService(pb.DeleteServiceRequest(service="scorer"))
    with refused() as told:
        await call.read()
    assert told.status is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("method", ["WatchRollout", "WatchEvents"])
async def test_watches_end_when_the_controller_drains(served: Doors, method: str) -> None:
    """Every watch ends with UNAVAILABLE and a word to come back, also one that is opened while draining."""

    def ask() -> grpc.aio.UnaryStreamCall:
        if method == "WatchRollout":
            return watch(served)
        return served.api.ledger.WatchEvents(pb.WatchEventsRequest(), timeout=SOON)

    call = ask()
    await call.read()
    served.watches.drain()
    for ended in (call, ask()):
        with refused() as told:
            while await ended.read() is not grpc.aio.EOF:
                pass
        assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_watches_are_bounded_and_given_back(served: Doors) -> None:
    """At the limit one more is refused; when clients leave, their places are free again and no task is left over."""
    tasks = len(asyncio.all_tasks())
    calls = [watch(served, user=f"user-{number // MAX_WATCHES_PER_CLIENT}") for number in range(MAX_WATCHES)]
    await asyncio.gather(*(call.read() for call in calls))
    assert served.watches.open == MAX_WATCHES
    with refused() as told:
        await watch(served).read()
    assert (told.status, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY")
    assert f"{MAX_WATCHES} watches of all clients" in told.message
    for call in calls:
        call.cancel()
    await until(lambda: served.watches.open == 0)
    assert (await watch(served).read()).phase == "IDLE"
    del calls
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 5)


async def test_one_client_does_not_take_the_watches_of_the_others(served: Doors) -> None:
    """At its limit one more of its own, of whatever kind, is refused by name; others watch, and so does it again."""
    calls = [watch(served) for _ in range(MAX_WATCHES_PER_CLIENT)]
    await asyncio.gather(*(call.read() for call in calls))
    for late in (watch(served), served.api.ledger.WatchEvents(pb.WatchEventsRequest(), metadata=((USER, "ada"),))):
        with refused() as told:
            await late.read()
        assert (told.status, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY")
        assert f"ada@127.0.0.1 has {MAX_WATCHES_PER_CLIENT} watches open" in told.message
    other = watch(served, user="bob")
    assert (await other.read()).phase == "IDLE"
    calls[0].cancel()
    await until(lambda: served.watches.open == MAX_WATCHES_PER_CLIENT)
    assert (await watch(served).read()).phase == "IDLE"


async def test_events_are_told_from_where_one_was_and_then_as_they_come(served: Doors) -> None:
    """A watch of the ledger begins after the line that was seen last, leaves no line out and repeats none."""
    await start(served)
    call = served.api.ledger.WatchEvents(pb.WatchEventsRequest(after=1), timeout=SOON)
    assert (await call.read()).kind == "rollout_started"
    await served.api.rollouts.Pause(pb.RolloutRequest(service="scorer", reason="lunch"))
    event = await call.read()
    assert (event.sequence, event.kind, event.why) == (3, "paused", "lunch")


async def test_events_of_one_service_leave_the_others_out(served: Doors) -> None:
    """With a service named, a watch tells that service's lines alone."""
    call = served.api.ledger.WatchEvents(pb.WatchEventsRequest(service="scorer"), timeout=SOON)
    assert (await call.read()).kind == "service_applied"
    note(served, "other", 1)
    await start(served)
    assert (await call.read()).kind == "rollout_started"


async def test_a_ledger_longer_than_a_page_is_told_whole(served: Doors) -> None:
    """A watch from the beginning goes through the pages without a gap; a list ends at its page."""
    note(served, "", PAGE + 5)
    listed = await served.api.ledger.ListEvents(pb.ListEventsRequest(limit=PAGE + 5))
    assert len(listed.events) == PAGE
    call = served.api.ledger.WatchEvents(pb.WatchEventsRequest(), timeout=SOON)
    told = [(await call.read()).sequence for _ in range(PAGE + 6)]
    assert told == list(range(1, PAGE + 7))


async def test_a_ledger_watch_ends_when_the_store_goes_away(served: Doors) -> None:
    """A watch that cannot be sure to tell every line says so instead of falling silent."""
    call = served.api.ledger.WatchEvents(pb.WatchEventsRequest(after=1), timeout=SOON)
    await until(lambda: served.watches.open == 1)
    served.store.away = True
    note(served, "", 1)
    with refused() as told:
        await call.read()
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_DURABLE")


def note(doors: Doors, service: str, lines: int) -> None:
    """Write lines into the ledger."""
    for _ in range(lines):
        doors.store.write(Entry(kind="note", services=services_of(service), who="ada", why="because"))
