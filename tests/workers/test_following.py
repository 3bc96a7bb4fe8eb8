"""A worker's store and roster, over a real socket to the first process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from controller.core.model.member import Member
from controller.core.model.roster import Leader
from controller.core.model.store_errors import NotWritten, StoreLost
from controller.store.memory import MemoryStore
from controller.workers.first_client import FirstClient
from controller.workers.first_service import FirstService
from controller.workers.followed_store import FollowedStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.support.waiting import wait_until

FIRST = Member(instance="i1", name="c1", since=1.0, records=1, admin="127.0.0.1:1")
WORKER = Member(instance="i2", name="c1/worker-2", since=2.0, records=1, admin="unix:/2")


@dataclass
class Pair:
    """A first process, and a worker that follows it."""

    store: MemoryStore
    service: FirstService
    client: FirstClient
    followed: FollowedStore
    server: grpc.aio.Server
    address: str

    async def restart(self) -> None:
        """End every stream, and listen again."""
        await self.server.stop(0)
        self.server = await serve(self.service, self.address)


async def serve(service: FirstService, address: str) -> grpc.aio.Server:
    """The first process's socket."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(service.handlers())
    server.add_insecure_port(address)
    await server.start()
    return server


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Both are there."""
    store = MemoryStore(clock=FakeClock())
    address = f"unix:{tmp_path}/s"
    service = FirstService(store, store.members, address)
    client = FirstClient(address, 2, WORKER.instance)
    followed = FollowedStore(client)
    following = asyncio.create_task(followed.follow(client))
    made = Pair(store, service, client, followed, await serve(service, address), address)
    yield made
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    await followed.close()
    await client.close()
    await made.server.stop(0)


async def test_a_worker_has_what_is_stored_and_each_change(pair: Pair) -> None:
    """Also that of a store in which there is nothing yet."""
    assert await pair.followed.load() == pair.store.newest()
    watch = pair.followed.watch(0)
    await pair.store.command(change(to=state(weight=500)))
    assert await anext(watch) == pair.store.newest()
    await pair.store.command(freezing(freeze()))
    assert (await anext(watch)).freezes == (freeze(),)
    assert pair.followed.newest() == pair.store.newest()


async def test_it_goes_on_after_the_connection_was_lost(pair: Pair) -> None:
    """Meanwhile it has what it had, and says that it may be old."""
    await pair.followed.load()
    await pair.restart()
    await pair.store.command(change(to=state(weight=500)))
    await wait_until(lambda: pair.followed.newest().revision == 1)
    assert pair.followed.newest() == pair.store.newest()
    assert not pair.followed.health.problem


async def test_it_stores_nothing(pair: Pair) -> None:
    """And decides nothing."""
    for refused in (pair.followed.command(change()), pair.followed.commit(change(), 1), pair.followed.campaign("i2")):
        with pytest.raises(NotWritten):
            await refused
    assert pair.store.newest().revision == 0


async def test_workers_reach_the_one_that_decides_at_its_socket(pair: Pair) -> None:
    """Operators read its own address; a worker that has ended has no record any more."""
    await pair.store.members.announce(FIRST)
    await pair.client.announce(WORKER)
    term = await pair.store.campaign(FIRST.instance)
    roster = await pair.client.roster()
    assert roster.leader == Leader(FIRST.instance, term.token, roster.leader.since if roster.leader else 0.0)
    assert [each.admin for each in roster.members] == [pair.address, "unix:/2"]
    assert [each.admin for each in (await pair.store.members.roster()).members] == ["127.0.0.1:1", "unix:/2"]
    assert pair.service.workers == {2: WORKER}
    await pair.followed.load()
    await pair.restart()
    await wait_until(lambda: not pair.service.workers)
    assert (await pair.store.members.roster()).members == (FIRST,)


async def test_without_the_first_process_there_is_an_error(tmp_path: Path) -> None:
    """Not a wait."""
    client = FirstClient(f"unix:{tmp_path}/none", 2, "i2")
    with pytest.raises(StoreLost):
        await client.roster()
    with pytest.raises(StoreLost):
        await anext(client.views())
    await client.close()
