"""Whether a store is to be made: only where none ever was, or where the operator says so.

A volume that is not mounted, a file that was deleted and one that was emptied look like a first start. A new store
there would serve nothing, freeze nothing, and say that it is ready.
"""

import contextlib
from pathlib import Path

from controller.core.model.store_errors import Unusable

TRACES = (".lock", "-wal", "-shm", "-reserve", "-ledger")
"""What a store leaves beside its file, by the end of the name. A store that was closed leaves at least the first."""

OR_INIT = "put it back or restore a backup; to start with an empty store, run `haldane serve --init` once"


def is_first_start(path: Path, *, init: bool) -> bool:
    """Whether there is no store at `path`, and one is to be made.

    `Unusable` if there is none although one was there, or its folder is not; not with `init`, which an operator gives.
    OSError if that cannot be found out. A store that is there stays, also with `init`.
    """
    if path.exists():
        empty = path.is_file() and not path.stat().st_size
        if empty and not init:
            raise Unusable(f"{path} is empty, which no store is: {OR_INIT}")
        return empty
    if init:
        return True
    if not path.parent.is_dir():
        raise Unusable(f"{path} is in a folder that does not exist: is its volume mounted? If so, make the folder")
    if left := [path.name + trace for trace in TRACES if path.with_name(path.name + trace).exists()]:
        raise Unusable(f"{path} is gone, but a store was there ({', '.join(left)} beside it): {OR_INIT}")
    return True


def remove_unfinished(path: Path) -> None:
    """Remove what a first start that failed has made, so that the next one is a first start again."""
    for name in ("", *TRACES[:4]):
        with contextlib.suppress(OSError):
            path.with_name(path.name + name).unlink()
