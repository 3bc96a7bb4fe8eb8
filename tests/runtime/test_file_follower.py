"""The service files of a folder: what is applied, what is started, and what is said."""

from dataclasses import dataclass, field

import pytest

from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.freeze import ALL
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Event, Phase
from controller.core.model.service_state import ServiceState
from controller.ports.service_files import FilesStatus, FolderContent
from controller.runtime.declarations import EARLIER, digest_of
from controller.runtime.file_follower import LAG, FileFollower
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.builders import change, service_file
from tests.fakes.clock import FakeClock

ADA = Actor("ada")
V2 = "rollout: {canary: v2}\n"


@dataclass
class Folder:
    """A folder whose files a test writes, and the controllers that follow it."""

    clock: FakeClock = field(default_factory=FakeClock)
    texts: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    status: FilesStatus = field(default_factory=FilesStatus)
    place: str = "/etc/haldane/services"

    def __post_init__(self) -> None:
        self.store = MemoryStore(clock=self.clock)
        self.operations = Operations(self.store, self.clock)
        self.restart()

    def restart(self) -> None:
        """Another controller, or another term: it knows the store and the folder, and nothing else."""
        self.follower = FileFollower(self, self.operations, self.clock, self._note)

    def _note(self, status: FilesStatus) -> None:
        self.status = status

    async def read(self) -> FolderContent:
        return FolderContent(dict(self.texts), dict(self.problems), self.problem)

    async def follow(self) -> list[tuple[str, str, str]]:
        """Two looks at the folder: the ledger lines that they lead to, as kind, who and service. A second look never
        adds to the first."""
        before = len(await self.lines())
        self.clock.advance(1.0)
        await self.follower.look()
        await self.follower.follow()
        after = await self.lines()
        await self.follower.follow()
        assert await self.lines() == after
        return [(line.entry.kind, line.entry.who, line.entry.scope) for line in after[before:]]

    async def lines(self) -> list[LedgerLine]:
        return await self.operations.events()

    def said(self) -> dict[str, tuple[str, str]]:
        """What is said of the files: kind and words."""
        return {name: (problem.kind.value, problem.text) for name, problem in self.status.problems.items()}

    def state(self, service: str = "scorer") -> ServiceState:
        return self.store.newest().services[service]

    async def act(self, verb: Verb, **fields: object) -> None:
        """A person's act."""
        await self.operations.act("scorer", Command(verb, "a person", **fields), who=ADA)  # type: ignore[arg-type]

    async def roll_back(self) -> None:
        """A person's rollback, which every proxy has confirmed."""
        await self.act(Verb.ROLLBACK)
        state = self.state()
        assert state.rollout
        over = state.rollout.moved(Event.CONFIRM, self.clock.wall(), "confirmed")
        await self.store.command(
            change("scorer", expects=state.revision, to=state.model_copy(update={"rollout": over}))
        )


APPLIED = ("service_applied", "apply-from:scorer.yaml", "scorer")
STARTED = ("rollout_started", "apply-from:scorer.yaml", "scorer")


@pytest.fixture
def folder() -> Folder:
    return Folder()


async def test_what_changes_is_applied_and_the_file_is_who_did_it(folder: Folder) -> None:
    """Once for each change; the ledger has the file, verified by the controller itself."""
    folder.texts["scorer.yaml"] = service_file()
    assert await folder.follow() == [APPLIED]
    assert (await folder.lines())[-1].entry.proof == "file"
    assert await folder.follow() == []
    folder.texts["scorer.yaml"] = service_file(more="timeout: 3s\n")
    folder.texts["other.yaml"] = service_file("other", 10001)
    applied = await folder.follow()
    assert sorted(applied) == sorted([APPLIED, ("service_applied", "apply-from:other.yaml", "other")])
    folder.restart()
    assert await folder.follow() == []
    assert (folder.status.number, folder.said()) == (2, {})


async def test_what_a_person_changes_stands_until_the_file_changes(folder: Folder) -> None:
    """Also over a restart; then the file has its way."""
    folder.texts["scorer.yaml"] = service_file()
    await folder.follow()
    await folder.operations.apply(service_file(more="timeout: 9s\n"), who=ADA)
    folder.restart()
    assert await folder.follow() == []
    assert folder.state().spec.timeout == 9.0
    folder.texts["scorer.yaml"] = service_file(more="timeout: 3s\n")
    assert await folder.follow() == [APPLIED]
    assert folder.state().spec.timeout == 3.0


async def test_a_bad_file_is_refused_whole_and_the_others_are_applied(folder: Folder) -> None:
    """A mistake, a taken port, two files of one service, a file that cannot be read: each is said by its file's name,
    and what is served stays."""
    folder.texts["scorer.yaml"] = service_file()
    await folder.follow()
    folder.texts |= {
        "scorer.yaml": service_file(more="colour: red\n"),
        "good.yaml": service_file("good", 10001),
        "rival.yaml": service_file("rival", 10001),
        "stored.yaml": service_file("stored", 10000),
        "one.yaml": service_file("twice", 10002),
        "two.yaml": service_file("twice", 10003),
    }
    folder.problems["unreadable.yaml"] = "it cannot be read: Permission denied"
    assert await folder.follow() == [("service_applied", "apply-from:good.yaml", "good")]
    said = folder.said()
    assert {kind for kind, _ in said.values()} == {"refused"}
    assert said.keys() == {"scorer.yaml", "rival.yaml", "stored.yaml", "one.yaml", "two.yaml", "unreadable.yaml"}
    for name, words in (
        ("scorer.yaml", "colour: unknown key"),
        ("rival.yaml", "good and rival both claim"),
        ("stored.yaml", "scorer"),
        ("one.yaml", "two.yaml declares twice too"),
    ):
        assert words in said[name][1]
    assert folder.state().spec.timeout == 5.0
    del folder.texts["good.yaml"]
    folder.texts["scorer.yaml"] = service_file(more="timeout: 3s\n")
    assert await folder.follow() == [APPLIED]
    assert "clashes" not in folder.said().get("scorer.yaml", ("", ""))[1]


async def test_a_canary_is_started_once_and_never_again_after_a_rollback(folder: Folder) -> None:
    """Also by another controller, and though the file changes elsewhere. Another canary is another start."""
    folder.texts["scorer.yaml"] = service_file(more=V2)
    assert await folder.follow() == [APPLIED, STARTED]
    await folder.roll_back()
    for more in (V2, f"{V2}timeout: 3s\n"):
        folder.restart()
        folder.texts["scorer.yaml"] = service_file(more=more)
        assert STARTED not in await folder.follow()
        assert folder.state().rollout.phase is Phase.ROLLED_BACK  # type: ignore[union-attr]
    folder.texts["scorer.yaml"] = service_file(
        endpoints={"v1": "127.0.0.1:9001", "v2": "127.0.0.1:9002", "v3": "127.0.0.1:9003"},
        more="rollout: {canary: v3}\n",
    )
    assert await folder.follow() == [APPLIED, STARTED]
    assert folder.state().rollout.canary == "v3"  # type: ignore[union-attr]


async def test_without_the_key_nothing_is_started_and_taken_away_and_put_back_it_is_another_start(
    folder: Folder,
) -> None:
    """To ask once more for what was rolled back takes two changes."""
    folder.texts["scorer.yaml"] = service_file(more=V2)
    await folder.follow()
    await folder.roll_back()
    folder.texts["scorer.yaml"] = service_file()
    assert await folder.follow() == [APPLIED]
    folder.texts["scorer.yaml"] = service_file(more=V2)
    assert await folder.follow() == [APPLIED, STARTED]


async def test_what_a_person_has_started_counts_as_started(folder: Folder) -> None:
    """Also if it was rolled back before the folder was looked at: nobody wants it again."""
    folder.texts["scorer.yaml"] = service_file(more=V2)
    await folder.operations.freeze([ALL], who=ADA, reason="release freeze")
    assert await folder.follow() == [APPLIED]
    await folder.operations.unfreeze([ALL], who=ADA, reason="over")
    await folder.act(Verb.START, canary="v2")
    await folder.roll_back()
    assert await folder.follow() == [APPLIED]  # the line that it was started already
    assert folder.state().followed.canary == "v2"  # type: ignore[union-attr]
    folder.restart()
    assert await folder.follow() == []


async def test_a_freeze_lets_files_be_applied_and_starts_wait(folder: Folder) -> None:
    """Which is said, with whose freeze it is; once it is lifted the canary starts."""
    await folder.operations.freeze([ALL], who=ADA, reason="release freeze")
    folder.texts["scorer.yaml"] = service_file(more=V2)
    assert await folder.follow() == [APPLIED]
    kind, words = folder.said()["scorer.yaml"]
    assert kind == "waits"
    assert words.startswith("v2 does not start: ")
    assert "release freeze" in words
    await folder.operations.unfreeze([ALL], who=ADA, reason="over")
    assert await folder.follow() == [STARTED]
    assert folder.said() == {}


async def test_a_start_that_is_not_possible_waits(folder: Folder) -> None:
    """Another canary is in the way; no stream of refused changes is written."""
    more = {"v1": "127.0.0.1:9001", "v2": "127.0.0.1:9002", "v3": "127.0.0.1:9003"}
    folder.texts["scorer.yaml"] = service_file(endpoints=more)
    await folder.follow()
    await folder.operations.act("scorer", Command(Verb.START, "a person", "v3"), who=ADA)
    await folder.act(Verb.PROMOTE)
    folder.texts["scorer.yaml"] = service_file(endpoints=more, more=V2)
    assert await folder.follow() == [APPLIED]
    assert folder.said()["scorer.yaml"][0] == "waits"


async def test_a_file_that_is_gone_leaves_its_service_and_is_said(folder: Folder) -> None:
    """Until the service is deleted. A folder that cannot be read takes nothing away, and is said itself."""
    folder.texts["scorer.yaml"] = service_file()
    await folder.follow()
    folder.texts.clear()
    assert await folder.follow() == []
    assert folder.said() == {
        "scorer.yaml": ("gone", "it is gone, and scorer stays as it was applied last, until it is deleted")
    }
    folder.problem = "the folder cannot be read: No such file or directory"
    await folder.follow()
    assert folder.said() == {folder.place: ("refused", folder.problem)}
    folder.problem = ""
    await folder.operations.delete("scorer", who=ADA)
    await folder.follow()
    assert folder.said() == {}


async def test_two_controllers_that_both_think_they_decide_start_once(folder: Folder) -> None:
    """The start and that it was started are one change, on a state that is compared."""
    folder.texts["scorer.yaml"] = service_file(more=V2)
    first = folder.follower
    folder.restart()
    for follower in (first, folder.follower):
        await follower.look()
        await follower.follow()
    kinds = [line.entry.kind for line in await folder.lines()]
    assert kinds.count("rollout_started") == 1


async def test_a_person_does_not_start_anything_by_applying_such_a_file(folder: Folder) -> None:
    """`haldane apply` never moves traffic."""
    await folder.operations.apply(service_file(more=V2), who=ADA)
    assert folder.state().rollout is None


OLD, NEW = service_file(), service_file(more="timeout: 3s\n")


async def test_a_folder_that_lags_applies_nothing_that_another_one_has_replaced(folder: Folder) -> None:
    """The next controller has the old text still: it is said and left, until the new one comes to it as well. Whatever
    else comes is new, and applied."""
    for text in (OLD, NEW):
        folder.texts["scorer.yaml"] = text
        assert await folder.follow() == [APPLIED]
    folder.restart()
    folder.texts["scorer.yaml"] = OLD
    assert await folder.follow() == []
    assert folder.said()["scorer.yaml"][0] == "lags"
    assert folder.state().spec.timeout == 3.0
    folder.texts["scorer.yaml"] = NEW
    assert await folder.follow() == []
    assert folder.said() == {}
    folder.restart()
    folder.texts["scorer.yaml"] = OLD
    await folder.follow()
    folder.texts["scorer.yaml"] = service_file(more="timeout: 4s\n")
    assert await folder.follow() == [APPLIED]


async def test_what_is_put_back_is_applied_at_once_by_who_has_seen_it_change(folder: Folder) -> None:
    """Also by a controller that did not decide when it was changed, since each watches its own folder."""
    first = folder.follower
    folder.restart()
    for text in (OLD, NEW):
        folder.texts["scorer.yaml"] = text
        await first.look()
        assert await folder.follow() == [APPLIED]
    folder.texts["scorer.yaml"] = OLD
    await first.look()
    await first.follow()
    assert folder.state().spec.timeout == 5.0


async def test_what_was_put_back_while_no_controller_ran_is_applied_after_a_time(folder: Folder) -> None:
    """None has seen the newer text: it cannot be told from a folder that lags, but none lags for so long."""
    for text in (OLD, NEW):
        folder.texts["scorer.yaml"] = text
        await folder.follow()
    folder.restart()
    folder.texts["scorer.yaml"] = OLD
    await folder.follow()
    folder.clock.advance(LAG - 3)
    assert await folder.follow() == []
    folder.clock.advance(3)
    assert await folder.follow() == [APPLIED]
    assert folder.said() == {}


async def test_a_lagging_folder_starts_no_canary(folder: Folder) -> None:
    """That the old file asks for; the one that replaced it does not."""
    folder.texts["scorer.yaml"] = service_file(more=V2)
    await folder.follow()
    await folder.roll_back()
    folder.texts["scorer.yaml"] = NEW
    await folder.follow()
    folder.restart()
    folder.texts["scorer.yaml"] = service_file(more=V2)
    assert await folder.follow() == []
    rollout = folder.state().rollout
    assert rollout is not None
    assert not rollout.running


async def test_few_replaced_texts_are_remembered(folder: Folder) -> None:
    """The newest of them, and never the one that is applied."""
    texts = [service_file(more=f"timeout: {seconds}s\n") for seconds in range(1, EARLIER + 4)]
    for text in (*texts, texts[0]):
        folder.texts["scorer.yaml"] = text
        assert await folder.follow() == [APPLIED]
    followed = folder.state().followed
    assert followed is not None
    assert followed.earlier == tuple(digest_of(text) for text in reversed(texts))[:EARLIER]
    assert followed.digest not in followed.earlier
