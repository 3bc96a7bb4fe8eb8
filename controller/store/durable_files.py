"""Files and names that survive a loss of power."""

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Make a file's content durable. OSError if the disk refuses."""
    _sync(path, os.O_RDWR)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. OSError if the disk refuses."""
    _sync(path, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
