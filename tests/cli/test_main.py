"""The entry point: help, version, start-up cost, bugs, and where the commands look for the controller."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from controller import __version__
from controller.__main__ import main
from controller.cli.failure import Exit
from controller.cli.invocation import DEFAULT_ADMIN, DEFAULT_XDS
from controller.cli.lazy_command import LazyCommand
from controller.cli.lazy_group import LazyGroup
from controller.cli.main import COMMANDS, cli
from controller.settings import Settings
from tests.cli.admin_server import WITHIN, AdminServer
from tests.cli.conftest import Haldane

CONTRACT = set(
    "serve bootstrap lint apply delete list get start watch wait pause resume approve promote rollback freeze "  # noqa: SIM905
    "unfreeze freezes proxies events explain simulate judge demo".split()
)
"""The commands that outside scripts rely on."""

HEAVY = {
    "aiohttp",
    "envoy_data_plane",
    "numpy",
    "pydantic",
    "pydantic_settings",
    "rich",
    "sklearn",
    "structlog",
    "yaml",
}
"""What no client command loads."""


def haldane_process(*args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`haldane` as a process of its own, with that environment beside the usual one."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}
    command = [sys.executable, "-m", "controller", *args]
    setting = {**plain, **environment}
    return subprocess.run(command, env=setting, text=True, capture_output=True, timeout=WITHIN, check=False)


def test_help_names_every_command_of_the_contract(haldane: Haldane) -> None:
    """`haldane --help` lists what the contract promises, and the exit codes."""
    done = haldane("--help")
    assert done.code == 0
    assert set(COMMANDS) >= CONTRACT
    for name in COMMANDS:
        assert f"\n  {name} " in done.out
    assert "7 wait ended otherwise" in done.out


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"demo", "judge", "simulate"}))
def test_every_command_has_help(haldane: Haldane, name: str) -> None:
    """Each command explains itself, its arguments and its options."""
    done = haldane(name, "--help")
    assert done.code == 0
    assert f"Usage: haldane {name}" in done.out


def test_whatever_acts_takes_a_reason_and_a_request_id() -> None:
    """The ledger learns why, and a retry is safe, for every act."""
    asks = {"lint", "list", "get", "watch", "wait", "freezes", "proxies", "events", "explain", "backtest"}
    asks.add("retry")  # moves no weight, and the ledger has no line for it
    asks |= {"whoami", "can", "controllers", "login", "logout"}
    asks |= {"backup", "restore", "migrate", "ledger"}  # of files, without a controller
    for name in COMMANDS.keys() - asks - {"serve", "bootstrap", "judge", "simulate", "certs", "completion", "demo"}:
        command = cli.get_command(click.Context(cli), name)
        assert command
        assert {"reason", "request_id", "output", "admin"} <= {param.name for param in command.params}


def test_no_words_print_the_help() -> None:
    """`haldane` alone is a question, not an error."""
    done = haldane_process()
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: haldane" in done.stdout
    assert done.stdout == haldane_process("--help").stdout


@pytest.mark.parametrize(("word", "meant"), [("strat", "start"), ("rolback", "rollback"), ("event", "events")])
def test_a_misspelt_command_gets_a_suggestion(haldane: Haldane, word: str, meant: str) -> None:
    """Wrong usage all the same."""
    done = haldane(word)
    assert done.code == 2
    assert f"No such command '{word}'. Did you mean '{meant}'?" in done.err


def test_a_word_like_no_command_gets_no_suggestion(haldane: Haldane) -> None:
    """A guess that cannot be right would only mislead."""
    assert "Did you mean" not in haldane("frobnicate").err


def test_the_version_is_printed(haldane: Haldane) -> None:
    """`haldane --version`."""
    assert haldane("--version").out == f"haldane, version {__version__}\n"


def loaded_by(program: str) -> set[str]:
    """The names of all modules that are loaded once that program has run in a Python of its own."""
    text = f"import sys\n{program}\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], text=True, capture_output=True, timeout=WITHIN, check=True)
    return set(done.stderr.splitlines())


def rooms_of(modules: set[str]) -> set[str]:
    """The packages of the controller in which these modules stand."""
    return {name.split(".")[1] for name in modules if name.startswith("controller.")}


@pytest.mark.parametrize("line", ["list", "freeze --all --reason x"])
def test_client_commands_load_no_part_of_the_controller(line: str) -> None:
    """A question costs what the question needs: no server, no store, no numeric library is loaded."""
    words = ["--admin", "127.0.0.1:1", *line.split()]
    modules = loaded_by(f"from controller.__main__ import main\nassert main({words!r}) == 6")
    assert not HEAVY & modules
    assert not {"app", "admin", "store", "xds", "telemetry", "demo"} & rooms_of(modules)


def test_help_loads_no_command_and_no_grpc() -> None:
    """The list of the commands is a table: none of them is loaded, nor what the controller is called with."""
    modules = loaded_by("from controller.__main__ import main\nassert main(['--help']) == 0")
    assert not (HEAVY | {"grpc", "prometheus_client"}) & modules
    assert "controller.cli.commands" not in modules
    assert rooms_of(modules) == {"__main__", "cli", "core", "pb"}


def test_serve_loads_nothing_that_it_does_not_use() -> None:
    """No other command, no simulation, no demo, and no second library of Envoy's messages."""
    modules = loaded_by("import controller.cli.main, controller.cli.commands.serve, controller.app")
    assert not {"apprise", "betterproto2", "envoy_data_plane", "hypothesis", "numpy", "sklearn"} & modules
    assert not {"bootstrap", "demo", "simulation"} & rooms_of(modules)
    commands = {name for name in modules if name.startswith("controller.cli.commands.")}
    assert commands == {"controller.cli.commands.serve"}
    assert not {name for name in modules if name.startswith("controller.cli.text.")} - {"controller.cli.text.values"}


def test_the_addresses_by_default_are_those_of_the_controller() -> None:
    """Client and controller find each other without a word of configuration."""
    fields = Settings.model_fields
    assert (fields["admin_listen"].default, fields["xds_listen"].default) == (DEFAULT_ADMIN, DEFAULT_XDS)


@pytest.mark.parametrize("variable", ["HALDANE_ADMIN", "HALDANE_ADMIN_LISTEN"])
def test_the_environment_names_the_admin_address(server: AdminServer, variable: str) -> None:
    """HALDANE_ADMIN, or the address that the controller itself listens on."""
    assert haldane_process("list", **{variable: server.address}).returncode == 0
    assert haldane_process("list", **{variable: "127.0.0.1:1"}).returncode == 6


def test_the_nearest_word_wins(server: AdminServer) -> None:
    """An option beats the environment, and one after the command beats one before it."""
    elsewhere = "127.0.0.1:1"
    assert haldane_process("--admin", server.address, "list", HALDANE_ADMIN=elsewhere).returncode == 0
    assert haldane_process("list", "--admin", server.address, HALDANE_ADMIN=elsewhere).returncode == 0
    assert haldane_process("--admin", elsewhere, "list", "--admin", server.address).returncode == 0


def test_http_proxy_of_the_environment_is_not_used(server: AdminServer) -> None:
    """http_proxy is for the web; the controller is on this machine, or at the end of a tunnel."""
    assert haldane_process("list", HALDANE_ADMIN=server.address, http_proxy="http://127.0.0.1:1").returncode == 0


def test_what_is_not_installed_is_named() -> None:
    """A command whose libraries are missing says what to install, and the others do not care."""
    entries = {"demo": LazyCommand("nowhere:demo", "See it work.", needs=("no-such-thing", "click", "nor-this"))}
    group = LazyGroup("haldane", entries=entries)
    with pytest.raises(click.ClickException) as raised:
        group.get_command(click.Context(group), "demo")
    assert raised.value.message == "haldane demo needs no-such-thing and nor-this, not installed here"
    assert getattr(raised.value, "hint", "") == "pip install no-such-thing nor-this"


@pytest.fixture
def with_command() -> Any:
    """Adds a command to the group for one test."""
    added = []

    def add(name: str, entry: LazyCommand) -> None:
        cli.entries[name] = entry  # type: ignore[index]
        added.append(name)

    yield add
    for name in added:
        del cli.entries[name]  # type: ignore[attr-defined]


def fault() -> None:
    """A bug."""
    raise RuntimeError("the wheel came off")


broken = click.Command("broken", callback=fault)


def test_a_bug_ends_with_one_line_and_a_report_file(
    with_command: Callable[[str, LazyCommand], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Even a bug ends with a line that can be reported, never with a traceback."""
    with_command("broken", LazyCommand("tests.cli.test_main:broken", "Fails."))
    assert main(["broken"]) == 1
    said = capsys.readouterr().err
    assert "unexpected RuntimeError at test_main.py:" in said
    assert "the wheel came off" in said
    assert "Traceback" not in said
    report = Path(said.split()[-1])
    assert "RuntimeError: the wheel came off" in report.read_text()
    report.unlink()


def test_a_reader_that_leaves_is_no_fault(server: AdminServer) -> None:
    """`haldane --help | true`: no complaint about the pipe."""
    child = subprocess.Popen(
        [sys.executable, "-m", "controller", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout
    child.stdout.close()
    assert child.stderr
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(WITHIN) == 1


WRONG = {
    "HALDANE_XDS_LISTEN": "0.0.0.0:18000",
    "HALDANE_HTTP_LISTEN": "nonsense",
    "HALDANE_SYNC_SHARE": "3",
}


def test_each_wrong_setting_is_named() -> None:
    """`serve` does not start on a wrong setting: every one is named by its variable or its option, with the remedy."""
    done = haldane_process("serve", "--admin", "here", **WRONG)
    assert done.returncode == 2
    lines = [line.split(":")[0].strip() for line in done.stderr.splitlines()[1:]]
    assert sorted(lines) == ["--admin", *sorted(WRONG)]
    assert "Traceback" not in done.stderr


def test_bootstrap_prints_what_envoy_reads(haldane: Haldane) -> None:
    """YAML on standard output that names the fleet, the node and the controller."""
    done = haldane_process("bootstrap", "--fleet", "edge", "--node", "edge-7", HALDANE_XDS_LISTEN="127.0.0.1:19000")
    assert done.returncode == 0
    for part in ("edge", "edge-7", "19000", "9901"):
        assert part in done.stdout
    assert "9901" not in haldane("bootstrap", "--fleet", "edge", "--envoy-admin", "none").out
    assert "19001" in haldane("bootstrap", "--fleet", "edge", "--xds", "127.0.0.1:19001").out


@pytest.mark.parametrize(
    "options", [(), ("--fleet", "Edge!"), ("--fleet", "edge", "--xds", "x"), ("--fleet", "edge", "--envoy-admin", "x")]
)
def test_a_wrong_bootstrap_is_wrong_usage(haldane: Haldane, options: tuple[str, ...]) -> None:
    """Nothing is printed that an Envoy would choke on."""
    done = haldane("bootstrap", *options)
    assert (done.code, done.out) == (2, "")
    assert "--" in done.err


def test_the_documentation_names_every_command_and_exit_code() -> None:
    """docs/cli.md is the reference: no command and no exit code is missing there."""
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    reference, codes = text.split("## Options")[0], text.split("## Exit codes")[1].split("## JSON")[0]
    assert [name for name in COMMANDS if f"`{name}" not in reference] == []
    assert [code for code in Exit if f"| {code.value} |" not in codes] == []
