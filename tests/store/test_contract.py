"""The contract of a store, the same for every backend: what is applied, and what is refused."""

import asyncio
import uuid

import pytest

from controller.core.model.applied import Applied
from controller.core.model.freeze import ALL, STOPS, Act, Freeze, Mode, describe_freeze
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import Conflict, Frozen, ReusedId
from tests.builders import change, excluding, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.conftest import ClosableStore


class TestWhole:
    """A change is applied whole or not at all."""

    async def test_a_new_store_is_empty_and_has_a_name_of_its_own(self, store: ClosableStore) -> None:
        """Nothing is served from a new store, and its UUID tells it from every other one."""
        view = await store.load()
        assert (view.revision, dict(view.services), view.freezes, dict(view.broken)) == (0, {}, (), {})
        assert uuid.UUID(view.store_id)
        assert await store.events() == []

    async def test_a_change_writes_record_and_ledger_line_at_one_revision(
        self, store: ClosableStore, clock: FakeClock
    ) -> None:
        """The record carries the revision it was written at, and the ledger says who, why and when."""
        clock.skew = 234.5 - clock.now
        sent = change(to=state(weight=500), why="the first step")
        revision = await store.command(sent)
        view = await store.load()
        (line,) = await store.events()
        assert revision == view.revision == view.services["scorer"].revision == line.revision
        assert view.services["scorer"] == state(weight=500).model_copy(update={"revision": revision})
        assert (line.sequence, line.at, line.change_id, line.entry) == (1, 234.5, sent.id, sent.entry)

    async def test_every_change_has_exactly_one_line(self, store: ClosableStore) -> None:
        """Applied changes leave one line each, refused ones none; the lines are contiguous and the chain holds."""
        revision = 0
        for n in range(10):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
            with pytest.raises(Conflict):
                await store.command(change(expects=revision + 99))
        lines = await store.events()
        assert [line.sequence for line in lines] == list(range(1, 11))
        assert [line.revision for line in lines] == sorted({line.revision for line in lines})
        assert verify(lines).broken is None

    async def test_many_changes_are_applied_in_order_at_a_revision_each(self, store: ClosableStore) -> None:
        """Each has its line and its record; one that was applied before keeps its revision."""
        first = change("one")
        assert await store.command(first) == 1
        revisions = await store.command_all([first, change("two"), change("one", expects=1, to=state("one", weight=7))])
        view = await store.load()
        assert (revisions, view.revision) == ([1, 2, 3], 3)
        assert {name: each.revision for name, each in view.services.items()} == {"one": 3, "two": 2}
        lines = await store.events()
        assert [line.revision for line in lines] == [1, 2, 3]
        assert verify(lines).broken is None

    async def test_of_many_changes_none_is_applied_if_one_is_refused(self, store: ClosableStore) -> None:
        """Whichever it is: records, lines and ids are as before, so that the others can be sent again."""
        await store.command(change("there"))
        good, bad = change("new"), change("there", expects=99)
        for sent in ([good, bad], [bad, good]):
            with pytest.raises(Conflict, match="there is at revision 1"):
                await store.command_all(sent)
            view = await store.load()
            assert (view.revision, set(view.services), len(await store.events())) == (1, {"there"}, 1)
            assert await store.applied(good.id) is None
        assert await store.command_all([good]) == [2]

    async def test_a_deleted_service_is_gone_and_can_come_back(self, store: ClosableStore) -> None:
        """After a delete there is no record, so a new one is decided on 'there is none'."""
        revision = await store.command(change())
        await store.command(change(expects=revision, delete=True))
        assert dict((await store.load()).services) == {}
        await store.command(change(expects=0, to=state(source="anew")))
        assert (await store.load()).services["scorer"].source == "anew"

    async def test_services_do_not_touch_one_another(self, store: ClosableStore) -> None:
        """A change of one service leaves the record of another as it was, revision and all."""
        first_revision = await store.command(change("one"))
        await store.command(change("two"))
        assert (await store.load()).services["one"].revision == first_revision

    async def test_any_text_comes_back_as_it_was(self, store: ClosableStore) -> None:
        """Quotes, line ends, other scripts and long texts in reasons and sources are kept to the letter."""
        text = "'; DROP TABLE ledger; -- \"\n\t\\ \u202e ложь 🙂 " + "x" * 100_000
        await store.command(change(to=state(source=text), why=text))
        (line,) = await store.events()
        assert (await store.load()).services["scorer"].source == text == line.entry.why
        assert verify([line]).broken is None

    @pytest.mark.parametrize(
        "broken",
        [
            change("other", to=state("scorer")),
            change(expects=None),
            change(expects=None, delete=True),
        ],
        ids=["state of another service", "write decided on nothing", "delete decided on nothing"],
    )
    async def test_a_change_that_contradicts_itself_is_refused(self, store: ClosableStore, broken: object) -> None:
        """A fault of the caller is an error before anything is touched."""
        with pytest.raises(ValueError, match="change"):
            await store.command(broken)  # type: ignore[arg-type]
        assert (await store.load()).revision == 0


class TestCompare:
    """No update is lost: a change is applied only to what it was decided on."""

    @pytest.mark.parametrize("off", [-1, 1, 1000])
    async def test_a_change_decided_on_another_revision_is_a_conflict(self, store: ClosableStore, off: int) -> None:
        """Older or newer, it is refused and nothing changes."""
        revision = await store.command(change())
        await store.command(change("other"))
        before = await store.load()
        with pytest.raises(Conflict, match="scorer is at revision"):
            await store.command(change(expects=revision + off))
        assert await store.load() == before
        assert len(await store.events()) == 2

    async def test_a_record_that_is_not_there_has_no_revision(self, store: ClosableStore) -> None:
        """A change decided on a record that is gone is a conflict, a delete as well."""
        for sent in (change(expects=7), change(expects=7, delete=True)):
            with pytest.raises(Conflict):
                await store.command(sent)

    async def test_of_many_at_once_one_wins(self, store: ClosableStore) -> None:
        """Operators and automation who decided on the same revision: one is applied, the others are conflicts."""
        term = await store.campaign("leader")
        revision = await store.command(change())
        sends = [store.command(change(expects=revision, to=state(weight=n))) for n in range(8)]
        sends += [store.commit(change(expects=revision, to=state(weight=99)), term.token)]
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert sum(isinstance(r, int) for r in results) == 1
        assert sum(isinstance(r, Conflict) for r in results) == 8
        assert len(await store.events()) == 2


class TestRepeated:
    """A retry is safe: the id of a change is applied once."""

    async def test_the_same_change_again_is_answered_with_its_revision(self, store: ClosableStore) -> None:
        """Also when the world has moved on: another record, a freeze, another term."""
        sent = change(act=Act.ADVANCE)
        term = await store.campaign("leader")
        revision = await store.commit(sent, term.token)
        await store.command(change(expects=revision, to=state(weight=1)))
        await store.command(freezing(freeze()))
        await store.campaign("another")
        before = await store.load()
        assert await store.commit(sent, term.token) == revision
        assert await store.command(sent) == revision
        assert await store.load() == before
        assert len(await store.events()) == 3

    async def test_an_id_used_for_another_change_is_refused(self, store: ClosableStore) -> None:
        """The message says at which revision the id was used."""
        await store.command(change(change_id="mine", fingerprint="one thing"))
        with pytest.raises(ReusedId, match="'mine' was used for another change, at revision 1"):
            await store.command(change("other", change_id="mine", fingerprint="another"))
        assert "other" not in (await store.load()).services

    async def test_a_refused_change_does_not_use_its_id_up(self, store: ClosableStore) -> None:
        """What was refused can be sent again under the same id."""
        with pytest.raises(Conflict):
            await store.command(change(change_id="mine", expects=5))
        assert await store.command(change(change_id="mine")) == 1

    async def test_it_can_be_asked_whether_a_change_was_applied(self, store: ClosableStore) -> None:
        """What settles a lost answer: the revision and what the change said; None for one that never was."""
        await store.command(change(change_id="mine", fingerprint="one thing"))
        assert await store.applied("mine") == Applied(1, "one thing")
        assert await store.applied("never") is None


class TestTerms:
    """Only the holder of the current token moves automation on."""

    @pytest.mark.proves("fault 5")
    async def test_a_late_write_of_an_ended_term_is_refused(self, store: ClosableStore) -> None:
        """A leader that was paused while another took over wakes up and writes: nothing happens."""
        old = await store.campaign("paused")
        new = await store.campaign("successor")
        assert new.token > old.token
        with pytest.raises(Conflict, match="term"):
            await store.commit(change(), old.token)
        assert (await store.load()).revision == 0
        assert await store.commit(change(), new.token) == 1

    async def test_whoever_holds_a_term_learns_of_its_end(self, store: ClosableStore) -> None:
        """The one before ends when the next begins; who waits for the end is woken, and the new one goes on."""
        old = await store.campaign("first")
        ended = asyncio.create_task(old.ended())
        await asyncio.sleep(0)
        assert not old.over
        new = await store.campaign("successor")
        await asyncio.wait_for(ended, 5)
        assert (old.over, new.over) == (True, False)

    async def test_a_term_can_be_given_up(self, store: ClosableStore) -> None:
        """It is over then; giving it up again, or after its end, does not touch the next one."""
        first = await store.campaign("first")
        await store.resign(first)
        assert first.over
        second = await store.campaign("second")
        await store.resign(first)
        assert not second.over
        assert await store.commit(change(), second.token) == 1

    async def test_a_token_that_nobody_was_given_is_refused(self, store: ClosableStore) -> None:
        """Neither a guessed later token nor 0 passes."""
        term = await store.campaign("leader")
        for token in (0, term.token + 1):
            with pytest.raises(Conflict):
                await store.commit(change(), token)

    async def test_an_operator_needs_no_term(self, store: ClosableStore) -> None:
        """A command is applied whoever leads."""
        await store.campaign("leader")
        assert await store.command(change()) == 1


SCOPES = {"all": ALL, "this service": "scorer", "another service": "other"}


WEAKER = {
    "one with an end": freeze("scorer", since=2.0, until=60.0, reason="worse", who="ada"),
    "a hold": freeze("scorer", since=2.0, mode=Mode.HOLD, reason="worse", who="ada"),
    "the same person's, for a while": freeze("scorer", since=2.0, until=60.0),
    "the same person's hold": freeze("scorer", since=2.0, mode=Mode.HOLD),
    "set at the same moment": freeze("scorer", reason="worse", who="ada", mode=Mode.HOLD),
}


class TestFrozen:
    """A freeze is compared inside the transaction: whatever was decided before it, it wins."""

    @pytest.mark.parametrize("by", ["automation", "operator"])
    @pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("act", Act)
    async def test_an_act_is_stopped_as_the_truth_table_says(
        self, store: ClosableStore, act: Act, mode: Mode, scope: str, by: str
    ) -> None:
        """Every act under every mode and scope, by automation and by operators alike; a refused one changes nothing."""
        term = await store.campaign("leader")
        revision = await store.command(change())
        held = freeze(scope, mode=mode)
        await store.command(freezing(held))
        before = await store.load()
        sent = change(expects=revision, act=act, to=state(weight=7))
        applied = store.commit(sent, term.token) if by == "automation" else store.command(sent)
        if scope != "other" and act in STOPS[mode]:
            with pytest.raises(Frozen) as refused:
                await applied
            assert str(refused.value) == describe_freeze(held)
            assert await store.load() == before
            assert len(await store.events()) == 2
        else:
            assert await applied > before.revision

    @pytest.mark.proves("fault 27")
    async def test_a_freeze_that_lands_between_decision_and_write_wins(self, store: ClosableStore) -> None:
        """Freeze and advance race; whenever the freeze was first, the advance is refused."""
        revision = await store.command(change())
        race = [store.command(freezing(freeze())), store.command(change(expects=revision, act=Act.ADVANCE))]
        frozen, advanced = await asyncio.gather(*race, return_exceptions=True)
        assert isinstance(frozen, int)
        assert isinstance(advanced, Frozen) or (isinstance(advanced, int) and advanced < frozen)

    @pytest.mark.proves("track-record 51")
    @pytest.mark.parametrize("second", WEAKER.values(), ids=WEAKER)
    async def test_nobodys_freeze_is_weakened_by_another_freeze(self, store: ClosableStore, second: Freeze) -> None:
        """Each stands by itself, in the order of scopes and of time; when the second is over the first holds on."""
        first = freeze("scorer")
        revision = await store.command(change())
        await store.command(freezing(first, freeze("other")))
        await store.command(freezing(second))
        assert (await store.load()).freezes == (freeze("other"), first, second)
        await store.command(freezing(lift=(second,)))
        assert (await store.load()).freezes == (freeze("other"), first)
        with pytest.raises(Frozen):
            await store.command(change(expects=revision, act=Act.ROLLBACK))

    async def test_a_strong_freeze_is_over_when_it_is_over(self, store: ClosableStore) -> None:
        """A short freeze beside a hold without an end: once it is lifted, a rollback is possible again."""
        short = freeze("scorer", since=2.0, until=60.0)
        revision = await store.command(change())
        await store.command(freezing(freeze("scorer", mode=Mode.HOLD)))
        await store.command(freezing(short))
        with pytest.raises(Frozen):
            await store.command(change(expects=revision, act=Act.ROLLBACK))
        await store.command(freezing(lift=(short,)))
        with pytest.raises(Frozen):
            await store.command(change(expects=revision, act=Act.ADVANCE))
        assert await store.command(change(expects=revision, act=Act.ROLLBACK))

    async def test_who_freezes_again_for_the_same_reason_renews_the_freeze(self, store: ClosableStore) -> None:
        """A script that freezes every minute leaves one freeze, not thousands; the one before is gone."""
        first, again, longer = (freeze("scorer", since=n, until=u) for n, u in ((1.0, 61.0), (2.0, 61.0), (3.0, None)))
        for held in (first, again, longer):
            await store.command(freezing(held))
            assert (await store.load()).freezes == (held,)
        with pytest.raises(Conflict, match="no longer the one to lift"):
            await store.command(freezing(lift=(again,)))

    async def test_freezes_set_at_once_all_stand(self, store: ClosableStore) -> None:
        """Two people at the same moment, and someone who lifts what was there before: both of theirs hold."""
        old, one, two = freeze("scorer"), freeze("scorer", who="ada"), freeze("scorer", who="bob", until=60.0)
        await store.command(freezing(old))
        await asyncio.gather(*(store.command(c) for c in (freezing(one), freezing(lift=(old,)), freezing(two))))
        assert set((await store.load()).freezes) == {one, two}

    async def test_a_lifted_freeze_stops_nothing(self, store: ClosableStore) -> None:
        """And the freeze of another scope holds on."""
        await store.command(freezing(freeze("scorer"), freeze("other")))
        await store.command(freezing(lift=(freeze("scorer"),)))
        assert [f.scope for f in (await store.load()).freezes] == ["other"]
        assert await store.command(change(act=Act.ADVANCE)) == 3

    @pytest.mark.proves("track-record 7")
    @pytest.mark.parametrize("lifted", [freeze("scorer", since=0.5), freeze("never")], ids=["another one", "never set"])
    async def test_only_the_very_freeze_that_was_read_is_lifted(self, store: ClosableStore, lifted: Freeze) -> None:
        """A freeze set meanwhile is not ended by someone who did not know it: a conflict, and it holds."""
        await store.command(freezing(freeze("scorer", since=1.0)))
        with pytest.raises(Conflict, match="freeze of"):
            await store.command(freezing(lift=(lifted,)))
        assert len((await store.load()).freezes) == 1
        assert len(await store.events()) == 1


class TestExclusions:
    """Who is excluded is stored like everything else that operators decide."""

    async def test_a_proxy_is_excluded_until_it_is_included(self, store: ClosableStore) -> None:
        """By node id, in order; excluded once more, the newer reason counts. A freeze stops neither."""
        await store.command(freezing(freeze()))
        for node, reason in (("edge-2", "clock"), ("edge-1", "old"), ("edge-1", "forged")):
            await store.command(excluding(node, reason))
        assert [(e.node, e.reason) for e in (await store.load()).exclusions] == [
            ("edge-1", "forged"),
            ("edge-2", "clock"),
        ]
        await store.command(excluding(include="edge-2"))
        view = await store.load()
        assert [each.node for each in view.exclusions] == ["edge-1"]
        assert view.freezes == (freeze(),)
