"""The settings of the controller, for the commands that run on its machine."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controller.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from controller.settings import Settings

_OPTIONS = {
    "store": "--store",
    "xds_listen": "--xds",
    "admin_listen": "--admin",
    "http_listen": "--http",
    "apply_from": "--apply-from",
    "workers": "--workers",
}
"""The options by which settings can be given."""


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--store`."""
    return click.option("--store", help="Where state is stored: sqlite:PATH (HALDANE_STORE).")(command)


def server_settings(given: Mapping[str, str | None]) -> "Settings":
    """The settings, with those that are given by options. Raises `Failure` with every mistake."""
    from controller.core.base.errors import Refusal
    from controller.settings import read_settings  # slow to load

    try:
        return read_settings(**{name: value for name, value in given.items() if value is not None})
    except Refusal as refusal:
        violations = [replace(v, field=_OPTIONS.get(v.field, v.field)) for v in refusal.violations]
        message = "the settings are not valid:"
        raise Failure(Exit.USAGE, message, code=refusal.code, violations=violations) from None


def store_path(store: str | None) -> Path:
    """The store's file, by the option or the settings. Raises `Failure`, also if it is in etcd."""
    kind, _, where = server_settings({"store": store}).store.partition(":")
    if kind == "etcd":
        hint = "etcdctl snapshot save FILE makes a backup of etcd, haldane migrate --to sqlite:PATH a copy in a file"
        raise Failure(Exit.NOT_POSSIBLE, "the store is in etcd, and not in a file", hint=hint)
    return Path(where).expanduser()
