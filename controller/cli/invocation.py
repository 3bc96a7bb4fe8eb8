"""How a command was called: where the controller is, how to print, and the reason and request id of
an act.

`--admin`, `--output` and what proves who calls are understood before and after the name of the command.
"""

import contextlib
import getpass
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from controller.cli.endpoint import DEFAULT_ADMIN, Endpoint, default_admin
from controller.cli.failure import Failure
from controller.cli.saved_login import SavedLogin, read_login

DEFAULT_XDS = "127.0.0.1:18000"
"""The default of `controller.settings`, which is slow to import; a test compares them."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)

_CONNECTION = {
    "admin": (
        "HOST:PORT",
        "The admin API: HOST:PORT or unix:PATH. Default: HALDANE_ADMIN, HALDANE_ADMIN_LISTEN, the "
        f"UNIX socket of your own controller, or {DEFAULT_ADMIN}.",
    ),
    "ca": ("FILE", "CAs of the controller's certificate, or `system`: connect by TLS (HALDANE_CA)."),
    "certificate": ("FILE", "Your client certificate (HALDANE_CERTIFICATE)."),
    "key": ("FILE", "Its private key (HALDANE_KEY)."),
    "token_file": ("FILE", "A file with your token (HALDANE_TOKEN_FILE)."),
}
"""The options that say where the controller is and who calls: what follows each, and its help."""


@dataclass
class Invocation:
    """One call of the command line. What is None was not given."""

    admin: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    token_file: str | None = None
    output: str = "text"
    reason: str = ""
    request_id: str = ""

    @property
    def json(self) -> bool:
        """Whether to print JSON."""
        return self.output == "json"

    def endpoint(self) -> Endpoint:
        """The controller, by the options, the environment, and what `haldane login` has kept. Raises `Failure` for what
        cannot be meant."""
        address = self.address
        certificate = _given(self.certificate, "HALDANE_CERTIFICATE")
        key = _given(self.key, "HALDANE_KEY")
        token_file = _given(self.token_file, "HALDANE_TOKEN_FILE")
        login = None if certificate or key or token_file else read_login(address)
        return Endpoint(address, self._ca(login), certificate, key, token_file, login)

    def login_endpoint(self, login: SavedLogin | None = None) -> Endpoint:
        """The controller for whoever logs in there: only that login says who calls. Raises `Failure`."""
        known = login
        if login is None:
            with contextlib.suppress(Failure):  # one that cannot be used is no reason not to log in again
                known = read_login(self.address)
        return Endpoint(self.address, self._ca(known), login=login)

    @property
    def address(self) -> str:
        """Where the admin API is."""
        return default_admin() if self.admin is None else self.admin

    def _ca(self, login: SavedLogin | None) -> str:
        return _given(self.ca, "HALDANE_CA") or (login.ca if login else "")


def _given(option: str | None, variable: str) -> str:
    return os.environ.get(variable, "") if option is None else option


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


def connection_options(command: Decorated) -> Decorated:
    """Add the options that say where the controller is and who calls; `Invocation.endpoint` has what they mean."""
    for name, (metavar, text) in reversed(_CONNECTION.items()):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, metavar=metavar, expose_value=False, callback=_keep, help=text)(command)
    return command


def client_options(command: Decorated) -> Decorated:
    """Add the options of every command that calls the controller."""
    return connection_options(output_option(command))


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
