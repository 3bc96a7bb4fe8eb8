"""`haldane serve` as it is executed, and the commands against it: the whole way once, without a proxy."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.store.schema import APPLICATION, FILE_SCHEMA
from controller.store.sqlite import PATIENCE
from tests.builders import service_file
from tests.cli.admin_server import WITHIN, eventually
from tests.support import preloaded
from tests.support.command import Done
from tests.support.process import free_port

# A dozen processes one after the other: on a machine with far more to do than it has cores for that takes minutes.
pytestmark = pytest.mark.timeout(300)

Run = Callable[..., Done]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The settings of one controller of the test's own."""
    xds, admin, http = (f"127.0.0.1:{free_port()}" for _ in range(3))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}
    listens = {"HALDANE_XDS_LISTEN": xds, "HALDANE_ADMIN_LISTEN": admin, "HALDANE_HTTP_LISTEN": http}
    return {**plain, **listens, "HALDANE_STORE": f"sqlite:{tmp_path / 'state.db'}"}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a command with the controller's own settings, which also say where it is."""

    return lambda *args: preloaded.run(*args, env=environment, within=WITHIN)


Serve = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def serve(environment: dict[str, str], tmp_path: Path) -> Iterator[Serve]:
    """Starts `haldane serve` and waits until it listens; one after the other, all with one log, shown by what fails."""
    log, lives = tmp_path / "log", list["subprocess.Popen[bytes]"]()
    port = int(environment["HALDANE_ADMIN_LISTEN"].rpartition(":")[2])

    def start(*options: str) -> "subprocess.Popen[bytes]":
        with log.open("ab") as output:
            lives.append(
                subprocess.Popen(
                    [sys.executable, "-m", "controller", "serve", *options], env=environment, stderr=output
                )
            )
        eventually(lambda: lives[-1].poll() is not None or answers(port), "serve listens or ends")
        assert lives[-1].poll() is None, "serve has ended"
        return lives[-1]

    yield start
    for life in lives:
        life.kill()
        life.wait(WITHIN)
    print(log.read_text())  # pytest shows it where the test has failed


def answers(port: int) -> bool:
    """Whether somebody listens on that port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_freeze_set_from_the_command_line_outlives_the_controller(serve: Serve, run: Run, tmp_path: Path) -> None:
    """Declare, freeze, SIGTERM with 0, start again: frozen still, and the ledger whole."""
    path = tmp_path / "scorer.yaml"
    path.write_text(service_file())
    controller = serve()
    assert run("apply", "-f", str(path)).code == 0
    assert run("freeze", "--all", "--reason", "incident 42").code == 0
    assert run("start", "scorer", "--canary", "v2").code == 3
    controller.send_signal(signal.SIGTERM)
    assert controller.wait(WITHIN) == 0
    assert run("list").code == 6
    serve()
    assert json.loads(run("freezes", "-o", "json").out)["freezes"][0]["reason"] == "incident 42"
    assert run("start", "scorer", "--canary", "v2").code == 3
    assert json.loads(run("events", "--verify", "-o", "json").out)["lines"] == 2


def test_a_rollback_that_came_true_without_an_answer_is_counted(
    environment: dict[str, str], serve: Serve, run: Run, tmp_path: Path
) -> None:
    """The disk hangs for longer than anybody waits, with the rollback in hand: not promised, and counted when it is."""
    environment |= {"HALDANE_TEST_MODE": "1", "HALDANE_FAULT_POINTS": f"commit:after/rollback=sleep:{PATIENCE + 2}@1"}
    path = tmp_path / "scorer.yaml"
    path.write_text(service_file())
    serve()
    assert run("apply", "-f", str(path)).code == 0
    assert run("start", "scorer", "--canary", "v2").code == 0
    done = run("rollback", "scorer")
    assert done.code == 1
    assert "perhaps later" in done.err

    def counted() -> bool:
        with urllib.request.urlopen(f"http://{environment['HALDANE_HTTP_LISTEN']}/metrics") as answer:
            return 'haldane_rollbacks_total{reason="operator",service="scorer"} 1.0' in answer.read().decode()

    eventually(counted, "the rollback is counted")


def test_without_a_store_setting_the_first_start_makes_everything(
    environment: dict[str, str], serve: Serve, tmp_path: Path
) -> None:
    """The folder in the user's state directory, too, and no option is needed; the log names the file."""
    del environment["HALDANE_STORE"]
    environment["XDG_STATE_HOME"] = str(tmp_path / "home" / "state")
    serve()
    path = tmp_path / "home" / "state" / "haldane" / "haldane.db"
    assert path.stat().st_size
    created = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "store_created" in line]
    assert [line["path"] for line in created] == [str(path)]


def test_a_folder_that_is_missing_is_no_first_start(
    environment: dict[str, str], serve: Serve, run: Run, tmp_path: Path
) -> None:
    """Its volume may not be mounted: exit code 1 and what to do, and nothing is made; `--init` makes it."""
    environment["HALDANE_STORE"] = f"sqlite:{tmp_path / 'volume' / 'haldane.db'}"
    done = run("serve")
    assert done.code == 1
    assert "is in a folder that does not exist: is its volume mounted?" in done.err
    assert not (tmp_path / "volume").exists()
    serve("--init")
    assert (tmp_path / "volume" / "haldane.db").stat().st_size


@pytest.mark.proves("fault 37")
def test_a_taken_port_is_named(environment: dict[str, str], run: Run) -> None:
    """Who starts a controller where something listens already learns which port it is; exit code 1."""
    host, _, port = environment["HALDANE_HTTP_LISTEN"].rpartition(":")
    with socket.create_server((host, int(port))):
        done = run("serve")
    assert done.code == 1
    assert "HALDANE_HTTP_LISTEN" in done.err
    assert "Traceback" not in done.err


@pytest.mark.proves("track-record 69")
def test_a_state_file_of_a_newer_haldane_is_named_once(run: Run, tmp_path: Path) -> None:
    """What is wrong with which file, and what to do, in one sentence; exit code 1."""
    path = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FILE_SCHEMA + 1}")
    done = run("serve")
    assert done.code == 1
    assert done.err.count(str(path)) == 1
    assert f"the state file {path} was written by a newer Haldane" in done.err
