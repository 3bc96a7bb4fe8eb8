"""Controllers of different record schemas over one etcd: none drops or overwrites what another one wrote."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.core.model.member import Member, Writes
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import NotWritten
from controller.store.etcd import last_known
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.etcd.keys import Keys, packed
from controller.store.etcd.member_records import MemberRecords
from tests.builders import change, state
from tests.fakes.clock import FakeClock
from tests.support.etcd import shared_cluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd")]


@pytest.fixture
async def keys() -> Keys:
    return Keys(f"/{uuid.uuid4()}")


@pytest.fixture
async def client() -> AsyncIterator[EtcdClient]:
    opened = EtcdClient(shared_cluster().endpoints)
    yield opened
    await opened.close()


@pytest.fixture
async def store(keys: Keys, tmp_path: Path) -> AsyncIterator[EtcdStore]:
    opened = await EtcdStore.open(
        EtcdClient(shared_cluster().endpoints), keys.prefix, clock=FakeClock(), folder=tmp_path
    )
    yield opened
    await opened.close()


def member(name: str, records: int) -> Member:
    return Member(instance=name, name=name, since=1.0, records=records, admin="10.0.0.1:18001")


async def write_newer(client: EtcdClient, keys: Keys) -> None:
    """What a controller of the next schema does: a record that this version cannot read, and the head that says so."""
    head = json.loads((await client.range(keys.head)).kvs[0].value)
    await client.put(keys.service("scorer"), packed(json.dumps({"schema": SCHEMA + 1, "unknown": True})))
    await client.put(keys.head, json.dumps({**head, "revision": head["revision"] + 1, "schema": SCHEMA + 1}).encode())


class TestTheOlder:
    """A controller whose records are older than those that are stored."""

    async def test_serves_what_it_has_read_and_writes_nothing(
        self, store: EtcdStore, client: EtcdClient, keys: Keys
    ) -> None:
        """The newer record stays as it is, is not called broken, and the refusal says what to do."""
        revision = await store.command(change())
        await write_newer(client, keys)
        await wait_until(lambda: store.members.writes is Writes.TOO_OLD)
        before = (await client.range(keys.state, keys.state[:-1] + "0")).kvs
        with pytest.raises(NotWritten, match=f"newer Haldane .schema {SCHEMA + 1}, .*: upgrade this controller"):
            await store.command(change(expects=revision, to=state(weight=500)))
        with pytest.raises(NotWritten):
            await store.command(change("other"))
        view = store.newest()
        assert (view.revision, view.services["scorer"].revision, dict(view.broken)) == (revision, revision, {})
        assert (await client.range(keys.state, keys.state[:-1] + "0")).kvs == before
        assert "upgrade this controller" in store.health.problem

    async def test_refuses_also_before_its_watch_has_told_it(
        self, store: EtcdStore, client: EtcdClient, keys: Keys
    ) -> None:
        """The head was written since: the transaction is not applied, and what stands cannot be read."""
        revision = await store.command(change())
        store._following.cancel()
        await asyncio.gather(store._following, return_exceptions=True)
        await write_newer(client, keys)
        with pytest.raises(NotWritten, match="upgrade this controller"):
            await store.command(change(expects=revision, to=state(weight=500)))
        assert store.newest().revision == revision

    async def test_gives_its_term_up(self, store: EtcdStore, client: EtcdClient, keys: Keys) -> None:
        """So that one that can read the records decides; it campaigns for no other one."""
        await store.command(change())
        term = await store.campaign("older")
        await write_newer(client, keys)
        await asyncio.wait_for(term.ended(), 5)
        await wait_until(lambda: _leaderless(client, keys))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.campaign("older"), 0.3)

    async def test_starts_with_what_it_served_last(self, keys: Keys, client: EtcdClient, tmp_path: Path) -> None:
        """After a downgrade it serves the copy on its disk."""
        first = await EtcdStore.open(
            EtcdClient(shared_cluster().endpoints), keys.prefix, clock=FakeClock(), folder=tmp_path
        )
        revision = await first.command(change())
        copy = tmp_path / "last-known"
        await wait_until(lambda: (kept := last_known.load(copy)) and kept.view.revision == revision)
        await first.close()
        await write_newer(client, keys)
        again = await EtcdStore.open(
            EtcdClient(shared_cluster().endpoints), keys.prefix, clock=FakeClock(), folder=tmp_path
        )
        assert again.newest().revision == revision
        assert "upgrade this controller" in again.health.problem
        with pytest.raises(NotWritten, match="upgrade"):
            await again.command(change("other"))
        await again.close()


class TestTheNewer:
    """A controller whose records are newer than those that others can read."""

    async def test_waits_until_the_older_ones_have_ended(
        self, store: EtcdStore, client: EtcdClient, keys: Keys
    ) -> None:
        """It stores nothing and leads nothing, names those who take changes, and goes on by itself."""
        older = MemberRecords(client, keys, 5)
        await older.announce(member("edge-1", SCHEMA - 1))
        with pytest.raises(NotWritten, match=rf"edge-1 \(10.0.0.1:18001, schema {SCHEMA - 1}\).*send it there"):
            await store.command(change())
        assert (store.members.writes, store.health.problem) == (Writes.WAITS, "")
        campaign = asyncio.create_task(store.campaign("newer"))
        await asyncio.sleep(0)
        assert (await client.range(keys.head)).kvs == []
        await older.withdraw()
        term = await asyncio.wait_for(campaign, 10)
        assert (term.over, store.members.writes) == (False, Writes.YES)
        assert json.loads((await client.range(keys.head)).kvs[0].value)["schema"] == SCHEMA
        await store.command(change())

    async def test_takes_the_records_of_an_older_one_over(
        self, store: EtcdStore, client: EtcdClient, keys: Keys
    ) -> None:
        """The head says the new schema before anything of it is written; an older one that comes back is too late."""
        await store.command(change())
        head = json.loads((await client.range(keys.head)).kvs[0].value)
        older = MemberRecords(client, keys, 5)
        await older.announce(member("edge-1", SCHEMA - 1))
        await client.put(keys.head, json.dumps({**head, "schema": SCHEMA - 1}).encode())
        await wait_until(lambda: store._follower.state.schema == SCHEMA - 1)
        with pytest.raises(NotWritten, match="edge-1"):
            await store.command(change("other"))
        await older.withdraw()
        await asyncio.wait_for(store.campaign("newer"), 10)
        assert json.loads((await client.range(keys.head)).kvs[0].value) == {**head, "schema": SCHEMA}
        await older.announce(member("edge-1", SCHEMA - 1))
        await store.command(change("other"))
        await older.withdraw()


async def _leaderless(client: EtcdClient, keys: Keys) -> bool:
    return not (await client.range(keys.leader)).kvs
