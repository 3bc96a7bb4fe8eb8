"""A group of commands that loads a command only when it is called: `haldane list` pays for `list` alone."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from controller.cli.failure import Exit, Failure


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is (`module:attribute`), its one line in `--help`, and the distributions that it needs."""

    target: str
    summary: str
    needs: tuple[str, ...] = ()


class LazyGroup(click.Group):
    """The commands of a table of entries, in the order of the table."""

    def __init__(self, *args: Any, entries: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; `Failure` names what is not installed."""
        entry = self.entries.get(cmd_name)
        return _load(cmd_name, entry) if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of the commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])


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
    from importlib.metadata import PackageNotFoundError, distribution  # slow to load, and hardly ever needed

    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
