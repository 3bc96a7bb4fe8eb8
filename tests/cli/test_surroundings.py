"""Commands in bad surroundings: closed or full streams, foreign encodings, endless files, words that are no text."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from controller.__main__ import INTERRUPTED
from controller.cli.failure import Exit
from controller.cli.main import COMMANDS, cli
from tests.builders import service_file
from tests.cli.admin_server import WITHIN, AdminServer
from tests.cli.conftest import Haldane

pytestmark = pytest.mark.proves("track-record 21")

REASON = "für später \u2014 \u2603"
FREEZE = ("freeze", "--all", "--reason", REASON)


def shell(line: str, server: AdminServer, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A line of a shell in which `haldane` is a command, against the server."""
    command = f'haldane() {{ {sys.executable} -m controller "$@"; }}; {line}'
    setting = {**os.environ, "HALDANE_ADMIN": server.address, **environment}
    return subprocess.run(["sh", "-c", command], env=setting, capture_output=True, timeout=WITHIN, check=False)


def test_every_command_answers_in_json() -> None:
    """`--output json` everywhere; `serve` alone has no answer: it logs."""
    for name in COMMANDS.keys() - {"serve"}:
        command = cli.get_command(click.Context(cli), name)
        assert command
        for each in command.commands.values() if isinstance(command, click.Group) else [command]:
            assert "output" in {param.name for param in each.params}, (name, each.name)


@pytest.mark.parametrize(
    "words", [("frobnicate", "-o", "json"), ("list", "--output=json", "--frob"), ("-o", "json", "get"), ("-ojson", "x")]
)
def test_wrong_usage_is_a_document_with_output_json(haldane: Haldane, words: tuple[str, ...]) -> None:
    """One document, also when the words could not be understood."""
    done = haldane(*words)
    assert (done.code, done.document["error"]["code"]) == (2, "USAGE")
    assert done.document["error"]["message"]


def test_a_freeze_is_set_whatever_the_terminal_can_show(server: AdminServer) -> None:
    """Letters that the encoding has not are shown as escapes; JSON stays JSON."""
    assert shell(f"haldane freeze --all --reason '{REASON}'", server).returncode == 0
    text = shell("haldane freezes", server, PYTHONIOENCODING="latin-1")
    assert (text.returncode, text.stderr) == (0, b"")
    assert b"f\xfcr sp\xe4ter \\u2014" in text.stdout
    document = shell("haldane freezes -o json", server, PYTHONIOENCODING="latin-1")
    assert json.loads(document.stdout)["freezes"][0]["reason"] == REASON


def test_words_that_are_no_text_are_wrong_usage(server: AdminServer) -> None:
    """Bytes that the terminal's encoding does not know: refused in words, nothing is frozen."""
    done = shell("haldane freeze --all --reason \"$(printf 'f\\374r')\"", server, PYTHONUTF8="1")
    assert done.returncode == 2
    assert b"not text" in done.stderr
    assert not server.do(server.store.load()).freezes


def test_a_closed_output_loses_words_and_not_the_act(server: AdminServer) -> None:
    """`>&-`: the freeze is set, and the exit code says so."""
    done = shell("haldane freeze --all --reason x >&- 2>&-", server)
    assert done.returncode == 0
    assert server.do(server.store.load()).freezes


@pytest.mark.parametrize("line", ["haldane lint -f - <&-", "haldane apply -f - <&-"])
def test_a_closed_input_is_an_empty_file(server: AdminServer, line: str) -> None:
    """`<&-`: not a bug."""
    done = shell(line, server)
    assert done.returncode == 2
    assert b"unexpected" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_not_reported_as_a_bug(server: AdminServer) -> None:
    """The output cannot be written: failed, in words."""
    done = shell("haldane list > /dev/full", server)
    assert done.returncode == 1
    assert b"cannot be written: No space left" in done.stderr
    assert b"bug" not in done.stderr


@pytest.mark.proves("track-record 23")
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero here")
def test_a_file_without_end_is_refused_and_not_read(haldane: Haldane) -> None:
    """No more than a service file may have is held in memory."""
    done = haldane("lint", "-f", "/dev/zero")
    assert done.code == 2
    assert "longer than" in done.err


def test_a_file_may_begin_with_a_mark_and_end_its_lines_as_windows_does(haldane: Haldane, tmp_path: Path) -> None:
    """A byte order mark and CRLF are what editors leave behind."""
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + service_file().replace("\n", "\r\n").encode())
    assert haldane("lint", "-f", str(path)).code == 0


def test_a_bootstrap_in_json_has_the_same_content(haldane: Haldane) -> None:
    """Envoy reads both."""
    words = ("bootstrap", "--fleet", "edge", "--node", "n1")
    assert haldane(*words, "-o", "json").document == yaml.safe_load(haldane(*words).out)


def test_the_filter_needs_its_input_for_the_reports(haldane: Haldane) -> None:
    """`judge -f -` would read both from one stream."""
    done = haldane("judge", "-f", "-")
    assert done.code == 2
    assert "standard input carries the reports" in done.err


@pytest.mark.proves("track-record 60")
@pytest.mark.parametrize(("words", "expected"), [(FREEZE, "--request-id f-1"), (("list",), "")])
def test_an_interrupted_act_names_its_request_id(words: tuple[str, ...], expected: str) -> None:
    """Ctrl-C while the controller is silent: the request id for a retry, or nothing where nothing was to be done."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        options = ("--request-id", "f-1") if expected else ()
        command = [sys.executable, "-m", "controller", "--admin", address, *words, *options]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            silent.settimeout(WITHIN)
            connection, _ = silent.accept()
            with connection:
                child.send_signal(signal.SIGINT)
                _, said = child.communicate(timeout=WITHIN)
        finally:
            child.kill()
            child.communicate()
    assert child.returncode == 130
    assert "Traceback" not in said
    assert expected in said if expected else not said.strip()


INTERRUPT = """\
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
sys.meta_path.insert(0, Interrupt())
"""
"""Python runs this before all else; Ctrl-C comes at the moment in which that module is looked for."""


@pytest.mark.proves("track-record 68")
@pytest.mark.parametrize("command", ["list", "serve"])
@pytest.mark.parametrize("module", ["controller.cli.main", "click", "controller.cli.lazy_group", "grpc"])
def test_ctrl_c_while_a_command_is_still_loading_ends_it_in_peace(tmp_path: Path, command: str, module: str) -> None:
    """The first second of every command is Python's: 130 and no traceback, as later."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "INTERRUPT_AT": module}
    words = [sys.executable, "-m", "controller", command]
    done = subprocess.run(words, env=environment, text=True, capture_output=True, timeout=WITHIN, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")


def test_before_ctrl_c_is_heeded_nothing_is_loaded() -> None:
    """What is loaded before that moment lengthens the time in which Ctrl-C is a traceback."""
    program = "import sys; had = set(sys.modules); import controller.__main__; print(sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=WITHIN, check=True)
    assert done.stdout == "['controller', 'controller.__main__']\n"


def test_the_code_of_an_interrupted_command_is_the_same_in_both_places() -> None:
    """It stands twice, since the first is to load nothing."""
    assert INTERRUPTED == Exit.INTERRUPTED
