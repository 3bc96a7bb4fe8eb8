"""Where state is stored by default, and the UNIX sockets beside it: known to the controller and the command line."""

import os
from pathlib import Path

MAX_SOCKET = 100
"""Bytes of the path of a UNIX socket. Linux allows 107, macOS 103."""
NO_SOCKET = "none"


def state_directory() -> Path:
    """$XDG_STATE_HOME/haldane, or ~/.local/state/haldane. RuntimeError if neither exists."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "haldane"


def default_store() -> str:
    """The store that is used unless another one is named. RuntimeError without a home directory."""
    return f"sqlite:{state_directory() / 'haldane.db'}"


def default_socket(store: str, name: str) -> str:
    """The socket `name` beside that store: `haldane.db.admin.sock`. `none` where there is no place for one.

    Each store has its own, so that several controllers on a machine never share one.
    """
    kind, _, where = store.partition(":")
    try:
        beside = Path(where).expanduser() if kind == "sqlite" else state_directory() / "haldane"
    except RuntimeError:
        return NO_SOCKET
    path = f"{beside.absolute()}.{name}.sock"
    return path if len(os.fsencode(path)) <= MAX_SOCKET else NO_SOCKET
