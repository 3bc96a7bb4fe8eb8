"""Memory and SQLite keep the same promises: whatever is sent to both, they answer the same."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Mode
from controller.core.model.store_errors import StoreError
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.store.memory import MemoryStore
from controller.store.sqlite import SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.conftest import ClosableStore

NAMES = st.sampled_from(["a", "b"])
SCOPES = st.sampled_from(["a", "b", ALL])


@dataclass(frozen=True)
class Sent:
    """A change, and how it is sent: with a token (0: that of the newest term, else so many terms ago), or without."""

    change: Change
    terms_ago: int | None


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Any change: decided on a near revision, right or not; ids and contents that sometimes repeat."""
    if draw(st.booleans()):
        name = draw(NAMES)
        return change(
            name,
            expects=draw(st.integers(0, 6)),
            act=draw(st.sampled_from(Act)),
            to=state(name, weight=draw(st.integers(0, 3))),
            delete=draw(st.integers(0, 4)) == 0,
            change_id=draw(st.sampled_from(["", "", "x", "y"])),
            fingerprint=draw(st.sampled_from(["one", "two"])),
        )
    held = freeze(draw(SCOPES), mode=draw(st.sampled_from(Mode)), since=float(draw(st.integers(0, 2))))
    return freezing(held) if draw(st.booleans()) else freezing(lift=(held,))


STORY = st.lists(
    st.one_of(
        st.builds(Sent, changes(), st.sampled_from([None, 0, 0, 1])),
        st.just("campaign"),
        st.tuples(NAMES, st.sampled_from(["r1", "r2"]), st.text(max_size=3)),
    ),
    max_size=20,
)


def plain(view: View) -> tuple[object, ...]:
    """A view without the store's name."""
    return view.revision, dict(view.services), view.freezes, dict(view.broken)


async def told(store: ClosableStore, story: list[Any]) -> list[object]:
    """Every answer of the store to this story, and what it looks like after each step."""
    tokens = [(await store.campaign("leader")).token]
    answers: list[object] = []
    for step in story:
        try:
            match step:
                case "campaign":
                    tokens.append((await store.campaign("leader")).token)
                case Sent(sent, int(ago)):
                    answers.append(await store.commit(sent, tokens[max(0, len(tokens) - 1 - ago)]))
                case Sent(sent):
                    answers.append(await store.command(sent))
                case (name, rollout, text):
                    await store.save_sessions({name: SavedSession(rollout, text)})
        except StoreError as error:
            answers.append((type(error), "" if "token" in str(error) else str(error)))
        answers.append(plain(await store.load()))
    answers += [await store.events(), await store.events(service="a", after=2, limit=3), await store.applied("x")]
    answers += [await store.load_session(name, rollout) for name in ("a", "b") for rollout in ("r1", "r2")]
    return answers


@settings(max_examples=60, deadline=None)
@given(STORY)
def test_both_answer_the_same(story: list[Any]) -> None:
    """Changes right and wrong, repeated and late, under freezes, by terms that are over: the same answers, in words,
    the same views, the same ledger to the last hash."""

    async def both() -> tuple[list[object], list[object]]:
        with tempfile.TemporaryDirectory() as folder:
            memory: ClosableStore = MemoryStore(clock=FakeClock())
            sqlite: ClosableStore = SqliteStore.open(Path(folder) / "haldane.db", clock=FakeClock())
            answers = await told(memory, story), await told(sqlite, story)
            await sqlite.close()
            return answers

    one, other = asyncio.run(both())
    assert one == other
