"""Whether a file has changed since it was read."""

import os
from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """What changes when a file does: also when a link on the way to it is moved, or when only its rights change, so
    that one that could not be read is read again."""

    device: int
    inode: int
    modified: int
    changed: int
    size: int


def stamp_of(path: Path) -> FileStamp | None:
    """The file's stamp; None if there is none to be had."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return stamp_from(status)


def stamp_from(status: os.stat_result) -> FileStamp:
    """The stamp of the file that has that status."""
    return FileStamp(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
