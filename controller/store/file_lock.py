"""One controller for one file or folder: an advisory lock beside it. The kernel releases it when the process ends."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from controller.core.model.store_errors import Unusable

OWN_FILE = "its own file with HALDANE_STORE=sqlite:PATH"


class FileLock:
    """Held from `take` to `release`. The lock file stays, since unlinking it would let two processes hold it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, instead: str = OWN_FILE) -> Self:
        """Take the lock, at once. `Unusable` names the process that holds it, and what a controller can be given
        `instead`; OSError if the file cannot be made."""
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(descriptor)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Unusable(
                f"{path} is in use by another controller (process {holder}): stop that one, or give this one {instead}"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Release it."""
        os.close(self._descriptor)


def _write_holder(descriptor: int) -> None:
    """Name this process as the holder; on a full disk no one is named."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
