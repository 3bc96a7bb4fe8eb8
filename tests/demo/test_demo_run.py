"""How a demo ends: by what was observed, by what went wrong, by a signal; and what it prints then."""

import asyncio
import io
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from controller.demo.demo_run import TERMINATED, play_acts, run
from controller.demo.display import Display
from controller.demo.environment import NotReady
from controller.demo.harness.child_processes import Children
from controller.demo.harness.missing import ProgramMissing
from controller.demo.scenario_run import Act
from controller.demo.traffic_observer import NotObserved

Play = Callable[[Children], Coroutine[Any, Any, bool]]


@pytest.fixture
def display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Display:
    """Prints into memory; folders of processes are made in the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Display(Console(file=io.StringIO(), width=200))


def printed(display: Display) -> str:
    file = display.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def ends(*, seen: bool = True, error: Exception | None = None) -> Play:
    """A demo that starts one process, and ends so."""

    async def play(group: Children) -> bool:
        group.start("one", ["sleep", "600"])
        if error:
            raise error
        return seen

    return play


def test_a_demo_that_was_observed_keeps_nothing(display: Display, tmp_path: Path) -> None:
    """Its exit code is 0."""
    assert run(ends(), display, as_json=False) == 0
    assert printed(display) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (ends(seen=False), "everything is in"),
        (ends(error=NotReady("Envoy is not ready\nits log ...")), "the demo failed: Envoy is not ready\n"),
        (ends(error=NotObserved("no split")), "the demo failed: no split"),
        (ends(error=TimeoutError()), "the demo failed: TimeoutError"),
    ],
    ids=["not-seen", "not-ready", "not-observed", "too-slow"],
)
def test_a_demo_that_failed_says_why_and_keeps_the_logs(
    display: Display, tmp_path: Path, play: Play, words: str
) -> None:
    """And its exit code is 1."""
    assert run(play, display, as_json=False) == 1
    assert words in printed(display)
    (folder,) = tmp_path.iterdir()
    assert (folder / "one.log").exists()


def test_a_program_that_is_missing_is_named_and_nothing_else(
    display: Display, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are no logs to read; as JSON the failure is said too."""
    missing = ProgramMissing("etcd is not installed: apt-get install etcd-server")
    assert run(ends(error=missing), display, as_json=True) == 1
    assert printed(display).endswith("etcd is not installed: apt-get install etcd-server\n")
    assert capsys.readouterr().out == '{"ok": false, "acts": []}\n'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_demo(display: Display, tmp_path: Path, signum: signal.Signals) -> None:
    """With the exit code of a shell, and no process left."""
    started: list[int] = []

    async def play(group: Children) -> bool:
        started.append(group.start("one", ["sleep", "600"]).pid)
        os.kill(os.getpid(), signum)
        await asyncio.sleep(600)
        return True

    assert run(play, display, as_json=False) == TERMINATED
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


async def test_acts_are_played_up_to_the_first_that_was_not_observed(display: Display) -> None:
    """Also where an act gives up waiting; what it waited for is a check that failed."""

    async def good(act: Act) -> None:
        act.check("the canary is promoted", True)

    async def gives_up(act: Act) -> None:
        raise NotObserved("not within 5 s: the canary is rolled back")

    acts = [("one", good), ("two", gives_up), ("three", good)]
    played = await play_acts(acts, lambda title: Act(title=title, show=display.show), display)
    assert [(act.title, act.ok) for act in played] == [("one", True), ("two", False)]
    assert played[1].checks[0].text == "not within 5 s: the canary is rolled back"
    assert "act 2 of 3: two" in printed(display)
