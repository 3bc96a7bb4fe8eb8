"""Files that the settings name, read while the controller serves: whatever stands in their place must not stop it."""

import errno
import os
import stat
from pathlib import Path


def read_settings_file(path: Path, most: int) -> bytes:
    """Its content. OSError if it cannot be read, is no regular file (to open a FIFO blocks until somebody writes to
    it), or has more than `most` bytes: then it was named by mistake."""
    descriptor = os.open(path.expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes")
    return content
