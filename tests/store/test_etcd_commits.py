"""The store in etcd: what etcd limits, what a crash leaves, and what a former leader may still write."""

import asyncio
import base64
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.core.model.ledger_chain import verify
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.store_errors import NotWritten, TooLarge
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.archive import SavedSession
from controller.store.etcd.client import Compacted, EtcdClient, Lost
from controller.store.etcd.etcd_store import EtcdStore, Limits
from controller.store.etcd.last_known import LastKnown
from controller.store.etcd.transaction import MAX_CHANGES
from controller.store.ledger_export import exports_in, read_export, verify_rows
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.etcd_replicas import Replicas, gateway
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd")]

SHORT = Limits(keep=40)
"""A ledger of 40 lines, which are trimmed by 20."""


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    opened = Replicas(tmp_path, FakeClock())
    yield opened
    await opened.close()


async def together(store: EtcdStore, count: int) -> list[int]:
    """Apply so many new services at once."""
    return await store.command_all([change(f"s{n}") for n in range(count)])


async def test_a_closed_store_writes_nothing_more(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copy on the disk is being saved when it is closed: that is waited for, so its folder can be removed."""
    begun, may, saved = threading.Event(), threading.Event(), []

    def save(_copy: LastKnown, _state: object) -> None:
        begun.set()
        may.wait(30)
        saved.append(True)

    monkeypatch.setattr(LastKnown, "save", save)
    store = await replicas.open()
    await asyncio.to_thread(begun.wait, 30)
    asyncio.get_running_loop().call_later(0.1, may.set)
    await store.close()
    assert saved


class TestLimits:
    """One commit is one transaction, whatever it consists of, up to bounds that are said."""

    async def test_a_whole_batch_of_services_is_made_and_deleted_at_once(self, replicas: Replicas) -> None:
        """Each is three records: more than etcd does in one transaction that is not nested."""
        store = await replicas.open()
        revisions = await together(store, MAX_CHANGES)
        assert revisions == list(range(1, MAX_CHANGES + 1))
        gone = [change(f"s{n}", expects=n + 1, delete=True) for n in range(MAX_CHANGES)]
        assert (await store.command_all(gone))[-1] == 2 * MAX_CHANGES
        assert not (await store.load()).services
        other = await replicas.open("other")
        lines = await other.events()
        assert (len(lines), verify(lines).broken) == (2 * MAX_CHANGES, None)
        assert not (await other.load()).services

    async def test_a_thousand_scopes_are_frozen_by_one_change(self, replicas: Replicas) -> None:
        """And they are lifted by one."""
        store, other = await replicas.open(), await replicas.open("other")
        every = tuple(freeze(f"s{n:04}") for n in range(1000))
        await store.command(freezing(*every))
        assert (await other.load()).freezes == every
        await store.command(freezing(lift=every))
        assert (await other.load()).freezes == ()

    async def test_more_than_a_transaction_takes_is_refused_whole(self, replicas: Replicas) -> None:
        """By number and by size: nothing of it is applied, and the store is not taken to be away."""
        store = await replicas.open()
        with pytest.raises(TooLarge, match=f"{MAX_CHANGES + 1} changes are more"):
            await together(store, MAX_CHANGES + 1)
        choose = random.Random(7)
        noise = [base64.b64encode(choose.randbytes(60_000)).decode() for _ in range(20)]
        with pytest.raises(TooLarge, match="bytes are more than etcd takes"):
            await store.command_all([change(f"s{n}", to=state(f"s{n}", source=each)) for n, each in enumerate(noise)])
        view = await store.load()
        assert (view.revision, dict(view.services), store.health.problem) == (0, {}, "")
        assert await store.command(change(to=state(source=noise[0]))) == 1


class TestSetAside:
    """A record that cannot be read."""

    async def test_what_takes_its_place_keeps_its_bytes(self, replicas: Replicas) -> None:
        """To the byte, so that a newer Haldane or a person can still read it."""
        store, client = await replicas.open(), replicas.client()
        await client.put(replicas.keys.service("scorer"), b"\x00 no record \xff")
        await store.command(freezing(freeze("other")))
        fresh = await replicas.open("fresh")
        assert "scorer" in (await fresh.load()).broken
        revision = await fresh.command(change())
        assert "scorer" not in (await fresh.load()).broken
        found = await client.range(replicas.keys.quarantine("scorer", revision))
        assert found.kvs[0].value == b"\x00 no record \xff"


class TestWatch:
    """A follower whose place in etcd's history is gone."""

    async def test_a_compaction_beyond_an_unchanged_head_costs_one_reading(self, replicas: Replicas) -> None:
        """The watch goes on from where everything was read, although the head is older."""
        cut = asyncio.Event()
        client = _Cut(replicas.cluster.endpoints, cut)
        store, other = await replicas.open(client=client), await replicas.open("other")
        await store.command(change("one"))
        for _ in range(5):  # of something else that is stored in the same etcd
            at = (await client.range(replicas.keys.head)).header.revision
            await client.put("/elsewhere", b"")
        await gateway(replicas.cluster.endpoints[0], "kv/compaction", revision=str(at + 1))
        cut.set()
        await wait_until(lambda: client.watching, 5)
        assert client.compacted <= 1
        await other.command(change("two"))
        await wait_until(lambda: "two" in store.newest().services, 0.4)


class _Cut(EtcdClient):
    """Loses the watch once, when told to; `watching` once a later one has outlived its beginning."""

    def __init__(self, endpoints: list[str], cut: asyncio.Event) -> None:
        super().__init__(endpoints)
        self._cut = cut
        self.watching = False
        self.compacted = 0

    async def watch(self, prefix: str, start: int):  # type: ignore[no-untyped-def]
        watched = super().watch(prefix, start)
        try:
            if not self._cut.is_set():
                await self._cut.wait()
                raise Lost("cut")
            async for response in watched:
                self.watching = self.watching or not response.created
                yield response
        except Compacted:
            self.compacted += 1
            raise
        finally:
            await watched.aclose()


class TestLedger:
    """Reading and trimming the ledger."""

    async def test_readers_at_once_see_each_line_once(self, replicas: Replicas) -> None:
        """However many read a replica's ledger for the first time at the same moment."""
        store = await replicas.open()
        await together(store, 10)
        fresh = await replicas.open("fresh")
        for lines in await asyncio.gather(*(fresh.events() for _ in range(5))):
            assert [line.sequence for line in lines] == list(range(1, 11))
        assert [line.sequence for line in await fresh.events()] == list(range(1, 11))

    @pytest.mark.parametrize("point", ["checkpoints/", "checkpoint", "after checkpoint", "deletion"])
    async def test_a_crash_while_trimming_leaves_a_ledger_that_can_be_trimmed(
        self, replicas: Replicas, point: str
    ) -> None:
        """At each of its writes: the next leader trims, and exports and ledger are one chain without a gap."""
        client = _Crashing(replicas.cluster.endpoints, replicas.keys.prefix, point)
        store = await replicas.open(client=client, limits=SHORT)
        await store.campaign("first")
        await together(store, 70)
        await wait_until(lambda: client.crashed, 5)
        await store.close()

        again = await replicas.open("one", limits=SHORT)
        await again.campaign("second")
        for n in range(25):
            await again.command(change(f"u{n}"))
        kept = await wait_until(lambda: _short(again), 5)
        exports = exports_in(replicas.folder("one") / "ledger")
        rows = [row for export in exports for row in read_export(export.path.read_text().splitlines())]
        assert verify_rows(rows).broken is None
        lines = {row.line.sequence: row.line for row in rows} | {line.sequence: line for line in kept}
        assert sorted(lines) == list(range(1, max(lines) + 1))
        assert verify(lines[n] for n in sorted(lines)).broken is None

    async def test_a_follower_forgets_what_the_leader_trimmed(self, replicas: Replicas) -> None:
        """And whoever does not lead trims nothing."""
        leader, follower = await replicas.open(limits=SHORT), await replicas.open("other", limits=SHORT)
        await leader.campaign("leader")
        await together(leader, 55)
        assert len(await follower.events()) == 55
        await asyncio.gather(*(follower.command(change(f"t{n}")) for n in range(10)))
        assert not exports_in(replicas.folder("other") / "ledger")
        await leader.command(change("u"))
        await wait_until(lambda: _short(leader), 5)
        (trimmed,) = [line for line in await leader.events() if line.entry.kind == LedgerKind.LEDGER_TRIMMED]
        await follower.command(change("v"))
        lines = await follower.events()
        assert lines[0].sequence - 1 == trimmed.entry.details["through"]
        assert verify(lines).broken is None


async def test_a_lease_that_could_not_be_revoked_is_by_the_next_campaign(replicas: Replicas) -> None:
    """After a majority was lost: the one whose term it was need not wait until it runs out, here in an hour."""
    client = _NotRevoking(replicas.cluster.endpoints)
    store = await replicas.open(client=client, limits=Limits(ttl=3600))
    former = await store.campaign("one")
    client.away = True
    await store.resign(former)
    client.away = False
    term = await asyncio.wait_for(store.campaign("one"), 30)
    assert (former.over, term.over, term.token > former.token) == (True, False, True)


class _NotRevoking(EtcdClient):
    """A client that reaches no member with the end of a lease while they are away."""

    away = False

    async def revoke_lease(self, lease: int) -> None:
        if self.away:
            raise self.outage
        await super().revoke_lease(lease)


async def _short(store: EtcdStore) -> list[object]:
    lines = await store.events()
    return lines if len(lines) < 60 and lines[0].sequence > 1 else []  # type: ignore[return-value]


class _Crashing(EtcdClient):
    """Every call fails from the write on that is named."""

    def __init__(self, endpoints: list[str], prefix: str, point: str) -> None:
        super().__init__(endpoints)
        self._prefix = prefix
        self._point = point
        self.crashed = False

    async def put(self, key: str, value: bytes, *, lease: int = 0) -> None:
        self._reach(self._point == "checkpoints/" and key.startswith(f"{self._prefix}/checkpoints/"))
        await super().put(key, value, lease=lease)

    async def delete(self, key: str, end: str = "") -> None:
        self._reach(self._point == "deletion")
        await super().delete(key, end)

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        checkpoint = any(each.key.decode() == f"{self._prefix}/checkpoint" for each in request.compare)
        self._reach(checkpoint and self._point == "checkpoint")
        response = await super().txn(request)
        self._reach(checkpoint and self._point == "after checkpoint")
        return response

    def _reach(self, here: bool) -> None:
        self.crashed = self.crashed or here
        if self.crashed:
            raise Lost("crashed")


class TestTerms:
    """What a former leader writes late takes no one's place."""

    async def test_sessions_recordings_and_cursors_are_the_leaders(self, replicas: Replicas) -> None:
        """Those of a term that is over, and of a replica that never led while another one does, are dropped."""
        first, second, never = [await replicas.open(name) for name in ("one", "two", "three")]
        await never.save_sessions({"scorer": SavedSession("r1", "nobody leads")})
        assert await never.load_session("scorer", "r1") == "nobody leads"
        await first.campaign("first")
        await first.save_sessions({"scorer": SavedSession("r1", "first")})
        await replicas.client().delete(replicas.keys.leader)  # its lease has run out, and it does not know yet
        await second.campaign("second")
        await second.save_sessions({"scorer": SavedSession("r1", "second")})
        await second.save_recording("r1", b"second")
        await second.save_cursor("people", 7)
        for late in (first, never):
            await late.save_sessions({"scorer": SavedSession("r1", "late")})
            await late.save_recording("r1", b"late")
            with pytest.raises(NotWritten):
                await late.save_cursor("people", 1)
        assert await second.load_session("scorer", "r1") == "second"
        assert await second.load_recording("r1") == b"second"
        assert await second.load_cursor("people") == 7

    async def test_many_large_sessions_are_saved_together(self, replicas: Replicas) -> None:
        """Twenty of half a megabyte that hardly compress: in as many transactions as they need."""
        store = await replicas.open()
        await store.campaign("leader")
        choose = random.Random(5)
        texts = {f"s{n}": base64.b64encode(choose.randbytes(300_000)).decode() for n in range(8)}
        await store.save_sessions({name: SavedSession("r1", text) for name, text in texts.items()})
        for name, text in texts.items():
            assert await store.load_session(name, "r1") == text
