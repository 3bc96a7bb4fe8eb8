"""The exit codes that scripts rely on, each by what an operator does to get it; and that no failure is a traceback."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.admin_client import AdminClient
from controller.cli.endpoint import Endpoint
from controller.cli.failure import Exit, Failure
from controller.core.model.change import Change
from controller.core.model.rollout import Event
from controller.core.model.store_errors import NotWritten, StoreLost
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.store.memory import MemoryStore
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane
from tests.fakes.clock import FakeClock

FREEZE = ("freeze", "--all", "--reason", "incident 42")
START = ("start", "scorer", "--canary", "v2")

CASES: list[tuple[str, list[tuple[str, ...]], tuple[str, ...], Exit, str]] = [
    ("start", [], START, Exit.DONE, "WARMING"),
    ("pause", [START], ("pause", "scorer", "--reason", "lunch"), Exit.DONE, "PAUSED"),
    ("resume", [START, ("pause", "scorer")], ("resume", "scorer"), Exit.DONE, "WARMING"),
    ("promote", [START], ("promote", "scorer"), Exit.DONE, "PROMOTING"),
    ("rollback", [START], ("rollback", "scorer"), Exit.DONE, "ROLLING_BACK"),
    ("delete", [], ("delete", "scorer"), Exit.DONE, "deleted"),
    ("freeze one", [], ("freeze", "scorer", "--reason", "x", "--ttl", "30m"), Exit.DONE, "scorer frozen by"),
    ("freeze all", [], FREEZE, Exit.DONE, "all services frozen by"),
    ("hold", [], (*FREEZE, "--hold"), Exit.DONE, "all services on hold by"),
    ("unfreeze", [FREEZE], ("unfreeze", "--all", "--reason", "over"), Exit.DONE, "lifted: all services"),
    ("freezes", [FREEZE], ("freezes",), Exit.DONE, "incident 42"),
    (
        "unfreeze under a freeze of all",
        [FREEZE, ("freeze", "scorer", "--reason", "deploy")],
        ("unfreeze", "scorer", "--reason", "over"),
        Exit.DONE,
        "still in force: all services frozen by",
    ),
    ("no freezes", [], ("freezes",), Exit.DONE, "nothing is frozen"),
    (
        "force through a freeze",
        [START, FREEZE],
        ("rollback", "scorer", "--force", "--reason", "bad"),
        Exit.DONE,
        "ROLL",
    ),
    ("unknown command", [], ("frobnicate",), Exit.USAGE, "No such command"),
    ("unknown option", [], ("list", "--frobnicate"), Exit.USAGE, "No such option"),
    ("approve of no share", [START], ("approve", "scorer", "--to", "half"), Exit.USAGE, "--to"),
    ("approve of nothing", [START], ("approve", "scorer", "--to", "0%"), Exit.USAGE, "above 0%"),
    (
        "approve of another",
        [START],
        ("approve", "scorer", "--canary", "v9"),
        Exit.NOT_POSSIBLE,
        "meant for v9",
    ),
    ("no canary named", [], ("start", "scorer"), Exit.USAGE, "--canary"),
    ("freeze of nothing", [], ("freeze", "--reason", "x"), Exit.USAGE, "name the services, or --all"),
    ("freeze of one and all", [], ("freeze", "scorer", "--all", "--reason", "x"), Exit.USAGE, "name the services"),
    ("freeze without reason", [], ("freeze", "--all"), Exit.USAGE, "--reason"),
    ("freeze with an empty reason", [], ("freeze", "--all", "--reason", " "), Exit.USAGE, "reason: "),
    ("freeze with a nonsense ttl", [], (*FREEZE, "--ttl", "soon"), Exit.USAGE, "ttl: "),
    ("force without reason", [START], ("rollback", "scorer", "--force"), Exit.USAGE, "reason: "),
    ("unknown canary", [], ("start", "scorer", "--canary", "v9"), Exit.USAGE, "no version 'v9'"),
    ("the stable as canary", [], ("start", "scorer", "--canary", "v1"), Exit.USAGE, "is the stable"),
    ("wrong output", [], ("list", "--output", "xml"), Exit.USAGE, "--output"),
    ("wrong phase", [], ("wait", "scorer", "--for", "lunch"), Exit.USAGE, "no phase"),
    ("wrong timeout", [], ("wait", "scorer", "--for", "promoted", "--timeout", "10"), Exit.USAGE, "a duration such as"),
    ("verify one service", [], ("events", "scorer", "--verify"), Exit.USAGE, "whole chain"),
    ("start while frozen", [FREEZE], START, Exit.FROZEN, "incident 42"),
    ("rollback while frozen", [START, FREEZE], ("rollback", "scorer"), Exit.FROZEN, "incident 42"),
    ("delete while frozen", [FREEZE], ("delete", "scorer"), Exit.FROZEN, "incident 42"),
    ("get of nobody", [], ("get", "nobody"), Exit.NOT_FOUND, "nobody"),
    ("start of nobody", [], ("start", "nobody", "--canary", "v2"), Exit.NOT_FOUND, "nobody"),
    ("freeze of nobody", [], ("freeze", "nobody", "--reason", "x"), Exit.NOT_FOUND, "nobody"),
    ("wait for nobody", [], ("wait", "nobody", "--for", "promoted"), Exit.NOT_FOUND, "nobody"),
    ("watch of nobody", [], ("watch", "nobody"), Exit.NOT_FOUND, "nobody"),
    ("unfreeze of nothing", [], ("unfreeze", "--all", "--reason", "x"), Exit.NOT_FOUND, "nothing is frozen"),
    ("start twice", [START], START, Exit.NOT_POSSIBLE, "a rollout of v2 is WARMING"),
    ("pause without rollout", [], ("pause", "scorer"), Exit.NOT_POSSIBLE, "no rollout"),
    ("approve unasked", [START], ("approve", "scorer"), Exit.NOT_POSSIBLE, "not possible"),
    ("canary without endpoints", [], ("start", "scorer", "--canary", "v3"), Exit.NOT_POSSIBLE, "no endpoints"),
    ("divert without fallback", [], ("divert", "scorer"), Exit.NOT_POSSIBLE, "no fallback"),
    ("delete during a rollout", [START], ("delete", "scorer"), Exit.NOT_POSSIBLE, "end it first"),
    ("wait without rollout", [], ("wait", "scorer", "--for", "promoted"), Exit.NOT_REACHED, "IDLE"),
    (
        "wait too long",
        [START],
        ("wait", "scorer", "--for", "promoted", "--timeout", "50ms"),
        Exit.NOT_REACHED,
        "WARMING",
    ),
]


@pytest.mark.parametrize(("before", "command", "code", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_each_outcome_has_its_exit_code(
    scorer: Path, haldane: Haldane, before: list[tuple[str, ...]], command: tuple[str, ...], code: Exit, said: str
) -> None:
    """What is done, refused or wrong ends with the contract's exit code and says why, on the right stream, in words."""
    for step in before:
        assert haldane(*step).code == 0
    done = haldane(*command)
    assert (done.code, "Traceback" in done.err) == (code, False), done
    assert said in (done.err if code else done.out)
    assert not (done.out if code else done.err)


def test_waiting_for_a_promotion_that_is_rolled_back_ends_otherwise(
    scorer: Path, haldane: Haldane, server: AdminServer
) -> None:
    """`wait --for promoted` ends with 7, and says why, when harm took the canary back."""
    haldane(*START)
    server.happens("scorer", Event.ROLLBACK, "5xx: 20% of 300")
    server.happens("scorer", Event.CONFIRM, "5xx: 20% of 300; all proxies confirmed")
    done = haldane("wait", "scorer", "--for", "promoted")
    assert done.code == Exit.NOT_REACHED
    assert "scorer is ROLLED_BACK, not PROMOTED: 5xx: 20% of 300" in done.err


def test_a_controller_that_is_away_cannot_be_reached(server: AdminServer, haldane: Haldane) -> None:
    """Every command says where it looked for the controller, and what to check, and ends with 6."""
    server.stop()
    for command in (("list",), START, FREEZE, ("watch", "scorer"), ("wait", "scorer", "--for", "promoted")):
        done = haldane(*command)
        assert done.code == Exit.UNREACHABLE
        assert f"cannot reach the controller at {server.address}" in done.err
        assert "haldane serve" in done.err
        assert "--request-id" not in done.err, "nothing was sent, so nothing can have been done"


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_controller_that_does_not_answer_cannot_be_reached(deaf: str) -> None:
    """A hung controller costs the deadline, no more; since the act may be done, its request id is named for a retry."""
    request = pb.FreezeRequest(all=True, reason="x", request_id="abc")
    with AdminClient(Endpoint(deaf)) as client, pytest.raises(Failure) as failure:
        client.call("KillSwitch/Freeze", request, pb.FreezeResponse, deadline=0.2)
    assert failure.value.status == Exit.UNREACHABLE
    assert "does not answer within 0.2 s" in failure.value.message
    assert "--request-id abc is safe to repeat" in failure.value.hint


class LostStore(MemoryStore):
    """A store whose disk is away: it can be read, and writes fail so."""

    def __init__(self, *, clock: FakeClock, error: StoreLost) -> None:
        super().__init__(clock=clock)
        self.error = error

    async def command(self, change: Change) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(StoreLost("the disk does not answer"), "perhaps"), (NotWritten("the disk is full"), "nothing was changed")],
)
def test_what_is_not_durable_has_failed(haldane: Haldane, server: AdminServer, error: StoreLost, outcome: str) -> None:
    """A freeze that could not be written down is no freeze: exit code 1, the one thing that is known of it, and the
    request id for a safe retry."""
    server.stop()
    server.wrapped = lambda _store: LostStore(clock=server.clock, error=error)
    server.start()
    done = haldane(*FREEZE, "--request-id", "abc")
    assert done.code == Exit.FAILED
    assert str(error) in done.err
    assert [said for said in ("perhaps", "nothing was changed") if said in done.err] == [outcome]
    assert "--request-id abc is safe to repeat" in done.err


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:1", ":1"])
def test_a_wrong_address_is_wrong_usage(haldane: Haldane, address: str) -> None:
    """What is no HOST:PORT is said before anything is tried."""
    done = haldane("list", "--admin", address)
    assert done.code == Exit.USAGE
    assert "HOST:PORT is needed" in done.err


def test_a_repeated_request_id_does_nothing_more(scorer: Path, haldane: Haldane) -> None:
    """The same command with the same request id is answered like the first time and done once."""
    first = haldane(*START, "--request-id", "abc", "--output", "json")
    second = haldane(*START, "--request-id", "abc", "--output", "json")
    assert (first.code, second.code) == (0, 0)
    assert first.document["revision"] == second.document["revision"]
    assert haldane(*START, "--request-id", "other").code == Exit.NOT_POSSIBLE


def test_an_invalid_file_is_refused_with_every_line(haldane: Haldane, tmp_path: Path) -> None:
    """`lint` and `apply` name the same places, as FILE:LINE, so that editors and CI can jump there."""
    path = tmp_path / "wrong.yaml"
    path.write_text("service: X!\nlisten: {port: 1}\nversions: {v1: {endpoints: []}}\nstable: v1\ncolour: red\n")
    lint, apply = haldane("lint", "-f", str(path)), haldane("apply", "-f", str(path))
    assert (lint.code, apply.code) == (Exit.USAGE, Exit.USAGE)
    assert f"{path}:1: service: " in lint.err
    assert f"{path}:5: colour: " in lint.err
    assert apply.err == lint.err


@pytest.mark.parametrize("content", [None, b"service: \xff\xfe"], ids=["missing", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_wrong_usage(haldane: Haldane, tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there or no text is named."""
    path = tmp_path / "service.yaml"
    if content is not None:
        path.write_bytes(content)
    for command in ("lint", "apply"):
        done = haldane(command, "-f", str(path))
        assert done.code == Exit.USAGE
        assert str(path) in done.err


@pytest.mark.proves("track-record 25")
def test_a_reason_that_is_refused_is_not_blamed_on_the_file(haldane: Haldane, scorer: Path) -> None:
    """The file is right; what is wrong stands on the command line, and is named."""
    done = haldane("apply", "-f", str(scorer), "--reason", "x" * 2000)
    assert done.code == Exit.USAGE
    assert "reason: at most" in done.err
    assert "not a valid service file" not in done.err
