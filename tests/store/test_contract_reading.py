"""The contract of a store, the same for every backend: what is read, watched and kept, and what a restart keeps."""

import asyncio

import pytest

from controller.core.model.applied import Applied
from controller.core.model.freeze import Act
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import Conflict, Frozen, StoreLost
from controller.core.model.view import View
from controller.ports.archive import KEPT_RECORDINGS, SavedSession
from tests.builders import change, freeze, freezing, state
from tests.store.conftest import ClosableStore, Open

SOON = 5.0
"""Seconds that a test waits for what must happen."""


async def first(store: ClosableStore, after: int) -> View:
    """The next view that a watcher sees."""
    return await asyncio.wait_for(anext(aiter(store.watch(after))), SOON)


class TestWatch:
    """A watcher sees the newest whole view, may skip some, and never goes back."""

    @pytest.mark.proves("fault 12")
    async def test_who_is_behind_gets_the_newest_at_once(self, store: ClosableStore) -> None:
        """One view for many changes."""
        revision = 0
        for n in range(5):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
        assert (await first(store, 0)).revision == revision
        assert (await first(store, 3)).revision == revision

    async def test_who_is_up_to_date_waits_for_the_next_change(self, store: ClosableStore) -> None:
        """Nothing is sent until there is something newer."""
        revision = await store.command(change())
        waiting = asyncio.ensure_future(first(store, revision))
        await asyncio.sleep(0)
        assert not waiting.done()
        later = await store.command(change("other"))
        assert (await waiting).revision == later

    async def test_the_newest_is_known_without_a_question(self, store: ClosableStore) -> None:
        """Whoever has an answer to a change finds it there."""
        assert store.newest() == await store.load()
        revision = await store.command(change())
        assert store.newest().revision == revision
        assert store.newest() == await store.load()

    async def test_a_refused_change_is_no_news(self, store: ClosableStore) -> None:
        """Watchers are not woken by what did not happen."""
        revision = await store.command(change())
        waiting = asyncio.ensure_future(first(store, revision))
        with pytest.raises(Conflict):
            await store.command(change(expects=99))
        await store.load()
        assert not waiting.done()
        await store.command(change("other"))
        await waiting

    async def test_every_watcher_sees_rising_revisions_and_the_last_one(self, store: ClosableStore) -> None:
        """Several watchers beside a busy writer: each sees revisions rise, each view whole, and ends with the last."""
        total = 60

        async def follow() -> list[int]:
            seen = []
            async for view in store.watch(0):
                assert max(s.revision for s in view.services.values()) == view.revision
                seen.append(view.revision)
                if view.revision == total:
                    break
            return seen

        followers = [asyncio.ensure_future(follow()) for _ in range(5)]
        revision = 0
        for n in range(total):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
        for seen in await asyncio.wait_for(asyncio.gather(*followers), SOON):
            assert seen == sorted(set(seen))
            assert seen[-1] == total

    async def test_a_watch_ends_when_the_store_does(self, store: ClosableStore) -> None:
        """A closed store tells its watchers instead of leaving them waiting forever."""
        waiting = asyncio.ensure_future(first(store, 0))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreLost):
            await waiting

    async def test_what_was_answered_can_be_read(self, store: ClosableStore) -> None:
        """Who has the answer of a change reads it back at once, and so does everybody else."""
        revision = 0
        for n in range(20):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
            assert (await store.load()).services["scorer"].revision == revision

    async def test_a_caller_who_gives_up_leaves_no_half_change(self, store: ClosableStore) -> None:
        """A cancelled command was applied whole, or not at all; the view and the ledger agree."""
        revision = await store.command(change())
        sent = change(expects=revision, to=state(weight=7))
        task = asyncio.ensure_future(store.command(sent))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        done = await store.applied(sent.id)
        view = await store.load()
        assert view.services["scorer"].weights == ({"v2": 7, "v1": 9993} if done else {"v1": 10_000})
        assert len(await store.events()) == view.revision == (2 if done else 1)


class TestLedger:
    """The ledger is read in pages, by service, and its chain holds."""

    async def test_it_is_read_page_by_page(self, store: ClosableStore) -> None:
        """Sequences after the last one seen, oldest first, at most so many."""
        for n in range(7):
            await store.command(change(f"s{n}"))
        pages = [[line.sequence for line in await store.events(after=after, limit=3)] for after in (0, 3, 6, 9)]
        assert pages == [[1, 2, 3], [4, 5, 6], [7], []]

    async def test_a_service_sees_its_own_lines_and_those_of_all(self, store: ClosableStore) -> None:
        """Freezes of everything and of several services belong to the story of each; names that contain it do not."""
        sent = {
            "own": change("scorer"),
            "longer": change("scorer2"),
            "dotted": change("my.scorer"),
            "several": freezing(freeze("other"), freeze("scorer")),
            "all": freezing(freeze()),
            "other": freezing(freeze("other", since=2.0)),
        }
        for one in sent.values():
            await store.command(one)
        seen = [line.change_id for line in await store.events(service="scorer")]
        assert seen == [sent[name].id for name in ("own", "several", "all")]
        assert [line.sequence for line in await store.events(service="scorer", after=1, limit=1)] == [4]

    async def test_lines_of_the_same_act_differ_in_their_effect(self, store: ClosableStore) -> None:
        """The chain covers what was written, not only what was told about it."""
        one = await store.command(change(to=state(weight=1)))
        await store.command(change(expects=one, to=state(weight=2)))
        lines = await store.events()
        assert lines[0].entry == lines[1].entry
        assert len({line.effect for line in lines} | {""}) == 3


class TestArchive:
    """Sessions are kept beside the state: the newest of each service's rollout."""

    async def test_the_newest_session_of_the_rollout_comes_back(self, store: ClosableStore) -> None:
        """Later replaces earlier; another rollout's session is no one's."""
        await store.save_sessions({"scorer": SavedSession("r1", "old")})
        await store.save_sessions({"scorer": SavedSession("r1", "new")})
        assert await store.load_session("scorer", "r1") == "new"
        assert await store.load_session("scorer", "r2") is None
        assert await store.load_session("other", "r1") is None
        await store.save_sessions({"scorer": SavedSession("r2", "next")})
        assert await store.load_session("scorer", "r1") is None

    async def test_a_session_is_no_change(self, store: ClosableStore) -> None:
        """It raises no revision, writes no line and wakes no one."""
        revision = await store.command(change())
        waiting = asyncio.ensure_future(first(store, revision))
        await store.save_sessions({"scorer": SavedSession("r1", "text")})
        assert (await store.load()).revision == revision
        assert len(await store.events()) == 1
        assert not waiting.done()
        waiting.cancel()

    async def test_a_session_goes_with_its_service(self, store: ClosableStore) -> None:
        """Deleted services leave nothing behind, so the archive stays as small as the services."""
        revision = await store.command(change())
        await store.save_sessions({"scorer": SavedSession("r1", "text")})
        await store.command(change(expects=revision, delete=True))
        assert await store.load_session("scorer", "r1") is None

    async def test_a_session_beyond_all_bounds_is_not_kept(self, store: ClosableStore) -> None:
        """Too long a one is dropped without an error, and the one before stays."""
        await store.save_sessions({"scorer": SavedSession("r1", "text")})
        await store.save_sessions({"scorer": SavedSession("r1", "x" * 2_000_000)})
        assert await store.load_session("scorer", "r1") == "text"


class TestRecordings:
    """What rollouts were judged by is kept beside the state: of the newest rollouts of all services."""

    async def test_the_newest_recording_of_a_rollout_comes_back(self, store: ClosableStore) -> None:
        """Later replaces earlier; a rollout that was never recorded has none."""
        await store.save_recording("r1", b"old")
        await store.save_recording("r1", b"new")
        await store.save_recording("r2", b"\0\xff")
        assert await store.load_recording("r1") == b"new"
        assert await store.load_recording("r2") == b"\0\xff"
        assert await store.load_recording("r3") is None

    async def test_the_oldest_rollouts_are_forgotten(self, store: ClosableStore) -> None:
        """Their number is bounded; one that is saved again keeps its place."""
        for n in range(KEPT_RECORDINGS + 3):
            await store.save_recording(f"r{n}", b"x")
            await store.save_recording("r2", b"again") if n == 5 else None
        kept = [n for n in range(KEPT_RECORDINGS + 3) if await store.load_recording(f"r{n}")]
        assert kept == list(range(3, KEPT_RECORDINGS + 3))

    async def test_a_recording_beyond_all_bounds_is_not_kept(self, store: ClosableStore) -> None:
        """Too large a one is dropped without an error, and the one before stays."""
        await store.save_recording("r1", b"small")
        await store.save_recording("r1", b"x" * 2_000_000)
        assert await store.load_recording("r1") == b"small"


class TestCursors:
    """Readers of the ledger find again how far they have come."""

    async def test_each_reader_has_its_own_place(self, store: ClosableStore) -> None:
        """Later replaces earlier; a reader that is new has no place yet."""
        await store.save_cursor("notify.chat", 3)
        await store.save_cursor("notify.audit", 1)
        await store.save_cursor("notify.chat", 7)
        assert await store.load_cursor("notify.chat") == 7
        assert await store.load_cursor("notify.audit") == 1
        assert await store.load_cursor("notify.pager") is None


class TestRestart:
    """A durable store opened again is as it was, and whoever had it before has lost his term."""

    async def test_everything_is_there_again(self, reopen: Open) -> None:
        """Name, revision, records, freezes, ledger, change ids and sessions survive; the chain goes on."""
        store = await reopen()
        revision = await store.command(change(to=state(weight=500), change_id="mine"))
        await store.command(freezing(freeze("scorer")))
        await store.save_sessions({"scorer": SavedSession("r1", "text")})
        await store.save_recording("r1", b"text")
        await store.save_cursor("people", 2)
        before, lines = await store.load(), await store.events()
        await store.close()

        again = await reopen()
        assert await again.load() == before
        assert await again.events() == lines
        assert await again.applied("mine") == Applied(revision, "same")
        assert await again.load_session("scorer", "r1") == "text"
        assert await again.load_recording("r1") == b"text"
        assert await again.load_cursor("people") == 2
        with pytest.raises(Frozen):
            await again.command(change(expects=revision, act=Act.ADVANCE))
        await again.command(change("other"))
        assert verify(await again.events()).broken is None
        assert (await again.load()).revision == before.revision + 1
        await again.close()

    async def test_a_term_does_not_outlive_a_restart(self, reopen: Open) -> None:
        """Tokens rise from one run to the next, and an old one is refused."""
        store = await reopen()
        old = await store.campaign("first run")
        await store.close()
        again = await reopen()
        with pytest.raises(Conflict):
            await again.commit(change(), old.token)
        assert (await again.campaign("second run")).token > old.token
        await again.close()
