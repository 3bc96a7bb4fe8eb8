"""A group of commands that loads a command only when it is called: `haldane list` pays for `list`
alone."""

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from controller.cli.failure import Exit, Failure
from controller.cli.lazy_command import LazyCommand
from controller.cli.suggestions import did_you_mean


class LazyGroup(click.Group):
    """The commands of a table, in the order of the table."""

    def __init__(self, *args: Any, entries: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now.

        Raises `Failure` if a distribution that it needs is not installed.
        """
        entry = self.entries.get(cmd_name)
        return _load(cmd_name, entry) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names.

        Raises `click.UsageError` with a suggestion if there is none.
        """
        name = args[0]
        if name in self.entries or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}. {_suggestion(name, self.entries)}".strip(), ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of the commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin so, without loading any command."""
        names = [CompletionItem(n, help=e.summary) for n, e in self.entries.items() if n.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def _suggestion(name: str, entries: Mapping[str, LazyCommand]) -> str:
    question = did_you_mean(name, entries)
    return f"{question[0].upper()}{question[1:]}" if question else ""


def _load(name: str, entry: LazyCommand) -> click.Command:
    missing = [need for need in entry.needs if not _installed(need)]
    if missing:
        raise Failure(
            Exit.FAILED,
            f"haldane {name} needs {' and '.join(missing)}, not installed here",
            hint=f"pip install {' '.join(missing)}",
        )
    module, _, attribute = entry.target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command), entry.target
    return command


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution  # slow to load, and rarely needed

    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
