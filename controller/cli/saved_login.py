"""What `haldane login` keeps: for each controller a file that its user alone may read.

Every command imports this module, so what it imports loads in no time.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from controller.cli.failure import Exit, Failure

MAX_FILE = 262_144
"""Bytes of a file."""
MAX_NAME = 200
"""Characters of a file's name before its ending."""
AGAIN = "log in again with `haldane login`, or forget it with `haldane logout`"


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """A login at one controller."""

    admin: str
    """The address of the admin API, as it is named on the command line."""
    issuer: str
    client_id: str
    audience: str
    token: str
    expires_at: float
    """Unix seconds by this machine's clock; 0 if that is not known."""
    refresh_token: str = ""
    """What asks for the next token, "" if there is none."""
    issuer_ca: str = ""
    """A file of the CAs of the issuer's certificate, "" for the system's."""
    ca: str = ""
    """What `--ca` was."""


def read_login(admin: str) -> SavedLogin | None:
    """The login at that controller, None if there is none. Raises `Failure` if it cannot be used."""
    try:
        path = _path(admin)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(MAX_FILE)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # also without a home
        return None
    except OSError as error:
        raise Failure(Exit.FAILED, f"your login at {admin} cannot be read: {error}") from None
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        hint = f"its token may be known to others: {AGAIN}"
        raise Failure(Exit.FAILED, f"{path} is not yours alone, as a token must be", hint=hint)
    try:
        return _login(json.loads(text))
    except (ValueError, TypeError):
        raise Failure(Exit.FAILED, f"{path} is no login", hint=AGAIN) from None


def write_login(login: SavedLogin) -> None:
    """Keep it in place of the one before, whole or not at all. Raises `Failure`."""
    try:
        path = _path(login.admin)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(prefix=".login-", dir=path.parent)  # with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(login), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except (OSError, RuntimeError) as error:
        raise Failure(Exit.FAILED, f"the login cannot be kept: {error}") from None


def delete_login(admin: str) -> bool:
    """Forget it; whether there was one. Raises `Failure`."""
    try:
        _path(admin).unlink()
    except (FileNotFoundError, NotADirectoryError, RuntimeError):
        return False
    except OSError as error:
        raise Failure(Exit.FAILED, f"the login cannot be deleted: {error}") from None
    return True


@contextlib.contextmanager
def login_locked(admin: str) -> Iterator[None]:
    """Nobody else of this user changes that login until the end of the block. OSError if that cannot be had."""
    path = _path(admin)
    with path.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(admin: str) -> Path:
    from controller.process.state_paths import state_directory  # not for every `--help`

    name = quote(admin, safe="")
    if len(name) > MAX_NAME:
        name = hashlib.sha256(admin.encode(errors="surrogateescape")).hexdigest()
    return state_directory() / "logins" / f"{name}.json"


def _login(found: Any) -> SavedLogin:
    """The login with these values. TypeError for what is none; what a newer version has beside is left out."""
    known = {field.name: found[field.name] for field in fields(SavedLogin) if field.name in found}
    if not all(isinstance(value, int | float if name == "expires_at" else str) for name, value in known.items()):
        raise TypeError
    return SavedLogin(**known)
