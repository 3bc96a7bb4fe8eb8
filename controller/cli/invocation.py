"""What every command knows of how it was called: where the controller is, and in which form to answer.

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
"""As in `controller.settings`, which would have to be loaded to be asked; a test holds them together."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)

_ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[^:\s/]+):(\d{1,5})$")


@dataclass
class Invocation:
    """One call of the command line."""

    admin: str
    output: str = "text"

    @property
    def json(self) -> bool:
        """Whether to print JSON."""
        return self.output == "json"


def default_admin() -> str:
    """Where the controller is, as far as the environment says."""
    return os.environ.get("HALDANE_ADMIN") or os.environ.get("HALDANE_ADMIN_LISTEN") or DEFAULT_ADMIN


def is_address(text: str) -> bool:
    """Whether it is HOST:PORT."""
    found = _ADDRESS.match(text)
    return found is not None and int(found[2]) <= 65535


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        setattr(ctx.find_object(Invocation), str(param.name), value)


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether words that could not be understood ask for JSON: who does wants to be told so in JSON, too."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(w in ("-ojson", "--output=json") or (w in ("-o", "--output") and v == "json") for w, v in pairs)


def output_option(command: Decorated) -> Decorated:
    """Add `--output` to a command; it is kept in the `Invocation`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        callback=_keep,
        help="Text for people (default), or one JSON document.",
    )(command)


def admin_option(command: Decorated) -> Decorated:
    """Add `--admin` to a command; it is kept in the `Invocation`."""
    return click.option(
        "--admin",
        metavar="HOST:PORT",
        expose_value=False,
        callback=_keep,
        help=f"The controller's admin API; default: HALDANE_ADMIN, HALDANE_ADMIN_LISTEN or {DEFAULT_ADMIN}.",
    )(command)


def client_options(command: Decorated) -> Decorated:
    """Add what every command takes that talks to the controller."""
    return admin_option(output_option(command))


def act_options(command: Decorated) -> Decorated:
    """Add what every command takes that acts: `--reason` and `--request-id` beside the client's options."""
    reason = click.option("--reason", default="", help="Why; it is written to the ledger.")
    return client_options(reason(request_id_option(command)))


def request_id_option(command: Decorated) -> Decorated:
    """Add `--request-id`; without one the command makes its own."""
    return click.option(
        "--request-id",
        default=lambda: uuid.uuid4().hex,
        show_default="a new one",
        help="Makes a retry safe: a second call with the same id does nothing more.",
    )(command)


def operator() -> str:
    """Who is asking, for the ledger: the name of the user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return f"uid-{os.getuid()}"
