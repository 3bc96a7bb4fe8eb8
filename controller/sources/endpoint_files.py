"""Endpoints from files on this machine, watched.

Looking is enough: a file that is replaced, a symbolic link that is swapped as Kubernetes does it for ConfigMaps, and a
file system that reports no changes are all seen alike.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from controller.core.model.endpoint_source import FileSource
from controller.core.servicefile.endpoints_file import read_endpoints
from controller.core.servicefile.yaml_tree import MAX_BYTES
from controller.ports.endpoint_sources import SourceReading
from controller.process.file_stamp import FileStamp, stamp_from

T = TypeVar("T")

POLL = 0.5
"""Seconds between two looks at a file. What two looks find the same is whole: a writer is not in the middle of it."""
THREADS = 4
"""That look at files. One on a network that has hung holds up others of these, and nothing else."""


class _Look(NamedTuple):
    """By what a file is the same as before; with a `problem`, that there is none to read."""

    stamp: FileStamp | None = None
    problem: str = ""


class EndpointFiles:
    """Watches endpoints files."""

    def __init__(self, poll: float = POLL) -> None:
        self._poll = poll
        self._threads = ThreadPoolExecutor(THREADS, "endpoint-files")

    async def watch(self, source: FileSource) -> AsyncIterator[SourceReading]:
        """What the file says, and each change of it, forever; or why it cannot be read."""
        before: _Look | None = None
        taken: _Look | None = None
        while True:
            look = await self._run(partial(_look, source.path))
            if look == before and look != taken:
                reading = await self._run(partial(_read, source.path, look))
                if reading:
                    taken = look
                    yield reading
            before = look
            await asyncio.sleep(self._poll)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def _look(path: str) -> _Look:
    try:
        found = os.stat(path)
    except OSError as error:
        return _Look(problem=_why(error))
    if not stat.S_ISREG(found.st_mode):
        return _Look(problem="it is not a regular file")
    return _Look(stamp_from(found))


def _read(path: str, look: _Look) -> SourceReading | None:
    """What a file says that is still as at that look; None if it has changed since."""
    if look.problem:
        return SourceReading(problem=look.problem)
    try:
        # Without blocking: a file may have been replaced by a pipe since the look.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if _look(path) != look:
            return None
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES // 1024} KiB")
        return SourceReading(read_endpoints(content.decode()))
    except OSError as error:
        return SourceReading(problem=_why(error))
    except UnicodeDecodeError:
        return SourceReading(problem="it is not text in UTF-8")
    except ValueError as error:
        return SourceReading(problem=str(error))


def _why(error: OSError) -> str:
    return f"the file cannot be read: {error.strerror or type(error).__name__}"
