"""Where a command finds the admin API, and what it proves with who calls.

Every command imports this module, so what it imports loads in no time.
"""

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from controller.cli.failure import Exit, Failure
from controller.cli.saved_login import SavedLogin

DEFAULT_ADMIN = "127.0.0.1:18001"
"""The default of `controller.settings`, which is slow to import; a test compares them."""
UNIX = "unix:"
SYSTEM = "system"
"""What `--ca` is for the CAs that the machine trusts."""
LOCAL = ("127.0.0.1", "::1", "localhost")

_ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[^:\s/]+):(\d{1,5})$")
_PROBE = 0.2
"""Seconds for a connection to the default UNIX socket."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An admin API and how to connect to it. The files are read when they are used, so that they can be replaced."""

    address: str
    """HOST:PORT, or `unix:` and the path of a socket."""
    ca: str = ""
    """A file of the CAs of the controller's certificate, or `system`."""
    certificate: str = ""
    """A file with the caller's certificate, with its chain."""
    key: str = ""
    """A file with its private key."""
    token_file: str = ""
    """A file with a bearer token."""
    login: SavedLogin | None = None
    """What `haldane login` has kept, if nothing else proves who calls."""

    def __post_init__(self) -> None:
        """Raises `Failure` for what cannot be meant."""
        if not (self.is_unix or is_address(self.address)):
            wanted = f"HOST:PORT is needed, such as {DEFAULT_ADMIN}, or unix:PATH"
            raise Failure(Exit.USAGE, f"--admin (or HALDANE_ADMIN): {wanted}, not {self.address!r}")
        if bool(self.certificate) != bool(self.key):
            raise Failure(Exit.USAGE, "--certificate and --key belong together: name both files")

    @property
    def is_unix(self) -> bool:
        """Whether it is a UNIX socket, where nothing is encrypted and the system vouches for the user."""
        return self.address.startswith(UNIX) and len(self.address) > len(UNIX)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return not self.is_unix and bool(self.ca or self.certificate)

    @property
    def may_carry_secrets(self) -> bool:
        """Whether nobody but the controller can read what is sent: TLS, or it does not leave the machine."""
        return self.uses_tls or self.is_unix or self.host in LOCAL

    @property
    def host(self) -> str:
        """The host of HOST:PORT, without brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of HOST:PORT."""
        return int(self.address.rpartition(":")[2])

    def ca_content(self) -> bytes | None:
        """The CAs as PEM; None for those that gRPC brings. Raises `Failure` if the file cannot be read."""
        if self.ca in ("", SYSTEM):
            import ssl  # only here: plaintext connections, and completion, do without

            path = ssl.get_default_verify_paths().cafile
            return read_file("--ca", path) if path else None
        return read_file("--ca", self.ca)

    def token(self) -> str:
        """The token of `token_file`, "" if none is named. Raises `Failure` if it cannot be read or must not be sent."""
        if not self.token_file:
            return ""
        text = read_file("--token-file", self.token_file).strip()
        try:
            return self.sendable(text.decode("ascii"))
        except UnicodeDecodeError:
            raise Failure(Exit.USAGE, f"--token-file: {self.token_file} is not ASCII") from None

    def sendable(self, token: str) -> str:
        """The token. Raises `Failure` if it is none, or if somebody could read it on its way."""
        if not token.isprintable() or " " in token or not token:
            raise Failure(Exit.USAGE, f"--token-file: {self.token_file} has not one token")
        self.check_secrets()
        return token

    def check_secrets(self) -> None:
        """Raises `Failure` if somebody could read a token on its way."""
        if not self.may_carry_secrets:
            message = f"a token is not sent to {self.address} without TLS, where others could read it"
            raise Failure(Exit.USAGE, message, hint="name the CA of the controller's certificate with --ca FILE")


def is_address(text: str) -> bool:
    """Whether it is HOST:PORT."""
    match = _ADDRESS.match(text)
    return match is not None and int(match[2]) <= 65535


def default_admin() -> str:
    """Where the admin API is unless an option says it: what the environment names, else the UNIX socket of this user's
    controller if one listens there, else the default port."""
    named = os.environ.get("HALDANE_ADMIN") or os.environ.get("HALDANE_ADMIN_LISTEN")
    return named or _listening_socket() or DEFAULT_ADMIN


def read_file(option: str, path: str) -> bytes:
    """Its content. Raises `Failure` that names the option."""
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{option}: {path} cannot be read: {error.strerror}") from None


def _listening_socket() -> str:
    """The socket beside the store of this user's controller; "" if nobody listens at it."""
    from controller.process.state_paths import NO_SOCKET, default_socket, default_store  # not for every `--help`

    path = os.environ.get("HALDANE_ADMIN_SOCKET", "")
    with contextlib.suppress(RuntimeError):  # a user id without a home
        path = path or default_socket(os.environ.get("HALDANE_STORE") or default_store(), "admin")
    if path in ("", NO_SOCKET):
        return ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(path)
        except (OSError, ValueError):
            return ""
    return f"{UNIX}{path}"
