"""A folder of service files, looked at again and again.

What two looks find the same is whole: a writer is not in the middle of it. A ConfigMap, whose files are links through
one that is swapped, is seen as a whole.
"""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from controller.core.servicefile.yaml_tree import MAX_BYTES
from controller.ports.service_files import FolderContent
from controller.process.file_stamp import FileStamp, stamp_of

SUFFIXES = (".yaml", ".yml")
MAX_FILES = 10_000
"""Of a folder."""


class _Look(NamedTuple):
    """By what a folder is the same as before: of each file its name and stamp."""

    files: tuple[tuple[str, FileStamp | None], ...] = ()
    problem: str = ""


class ServiceFolder:
    """The service files of a folder: `*.yaml` and `*.yml`, without those of folders in it and hidden ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "service-folder")
        self._before: _Look | None = None
        self._taken: _Look | None = None
        self._content: FolderContent | None = None

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self._path)

    async def read(self) -> FolderContent | None:
        """What is in it, as two looks in a row have found it; None while they differ. Raises nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read)

    def _read(self) -> FolderContent | None:
        look = _look(self._path)
        before, self._before = self._before, look
        if look != before:
            return None
        if look != self._taken:
            content = _content(self._path, look)
            if _look(self._path) != look:
                return None
            self._taken, self._content = look, content
        return self._content


def _look(folder: Path) -> _Look:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES) and not name.startswith("."))
    except OSError as error:
        return _Look(problem=f"the folder cannot be read: {error.strerror}")
    if len(names) > MAX_FILES:
        return _Look(problem=f"the folder has more than {MAX_FILES} files")
    return _Look(tuple((name, stamp_of(folder / name)) for name in names))


def _content(folder: Path, look: _Look) -> FolderContent:
    texts, problems = {}, {}
    for name, *_ in look.files:
        try:
            texts[name] = _text(folder / name)
        except OSError as error:
            problems[name] = f"it cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            problems[name] = "it is not text in UTF-8"
        except ValueError as error:
            problems[name] = str(error)
    return FolderContent(texts, problems, look.problem)


def _text(path: Path) -> str:
    # Without blocking: it may be a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES // 1024} KiB")
    return content.decode()
