"""How a command was called: where the controller is, how to print, and the reason and request id of
an act.

`--admin` and `--output` are understood before and after the name of the command.
"""

import getpass
import os
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

DEFAULT_ADMIN = "127.0.0.1:18001"
DEFAULT_XDS = "127.0.0.1:18000"
"""The defaults of `controller.settings`, which is slow to import; a test compares them."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)

_ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[^:\s/]+):(\d{1,5})$")


@dataclass
class Invocation:
    """One call of the command line."""

    admin: str
    output: str = "text"
    reason: str = ""
    request_id: str = ""

    @property
    def json(self) -> bool:
        """Whether to print JSON."""
        return self.output == "json"


def default_admin() -> str:
    """The address of the admin API that the environment names, or the default."""
    return os.environ.get("HALDANE_ADMIN") or os.environ.get("HALDANE_ADMIN_LISTEN") or DEFAULT_ADMIN


def is_address(text: str) -> bool:
    """Whether it is HOST:PORT."""
    match = _ADDRESS.match(text)
    return match is not None and int(match[2]) <= 65535


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        setattr(ctx.find_object(Invocation), str(param.name), value)


def wants_json(words: Sequence[str]) -> bool:
    """Whether the words of a wrong command line ask for JSON, so that the error can be JSON too."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(w in ("-ojson", "--output=json") or (w in ("-o", "--output") and v == "json") for w, v in pairs)


def output_option(command: Decorated) -> Decorated:
    """Add `--output` to a command; `Invocation.output` has its value."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        callback=_keep,
        help="Output format: text (the default) or one JSON document.",
    )(command)


def admin_option(command: Decorated) -> Decorated:
    """Add `--admin` to a command; `Invocation.admin` has its value."""
    return click.option(
        "--admin",
        metavar="HOST:PORT",
        expose_value=False,
        callback=_keep,
        help=f"Address of the admin API. Default: HALDANE_ADMIN, HALDANE_ADMIN_LISTEN or {DEFAULT_ADMIN}.",
    )(command)


def client_options(command: Decorated) -> Decorated:
    """Add the options of every command that calls the controller."""
    return admin_option(output_option(command))


def reason_option(command: Decorated, *, required: bool = False) -> Decorated:
    """Add `--reason`; `Invocation.reason` has its value."""
    text = "Why. The ledger records it."
    return click.option("--reason", required=required, expose_value=False, callback=_keep, help=text)(command)


def request_id_option(command: Decorated) -> Decorated:
    """Add `--request-id`; `Invocation.request_id` has its value, a new id if it is not given."""
    return click.option(
        "--request-id",
        default=lambda: uuid.uuid4().hex,
        show_default="a new one",
        expose_value=False,
        callback=_keep,
        help="Makes a retry safe: a second call with the same id does nothing more.",
    )(command)


def act_options(command: Decorated) -> Decorated:
    """Add the options of every command that acts: `--reason` and `--request-id` besides the client's
    options."""
    return client_options(reason_option(request_id_option(command)))


def operator() -> str:
    """The name of the operating system's user, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return f"uid-{os.getuid()}"
