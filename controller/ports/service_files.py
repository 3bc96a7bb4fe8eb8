"""A folder of service files that are applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class FileProblemKind(StrEnum):
    """What is wrong with a file. The words are those of the metrics."""

    REFUSED = "refused"
    """It is not applied."""
    WAITS = "waits"
    """It is applied, and the canary that it asks for does not start yet."""
    LAGS = "lags"
    """Its text was applied and replaced, by another controller whose folder is newer: it is not applied again yet."""
    GONE = "gone"
    """It is no longer there; its service stays as it was."""


class FileProblem(NamedTuple):
    """What is wrong with a file, in words."""

    kind: FileProblemKind
    text: str


@dataclass(frozen=True, slots=True)
class FilesStatus:
    """What became of the files; known to the controller that decides. `number` is None where none are applied."""

    number: int | None = None
    problems: Mapping[str, FileProblem] = field(default_factory=dict)
    """By file; those of the whole folder by its path."""


@dataclass(frozen=True, slots=True)
class FolderContent:
    """The texts of the service files in a folder, and why others cannot be read, each by the file's name."""

    texts: Mapping[str, str]
    problems: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why the folder itself cannot be read; then there are no texts."""


class ServiceFiles(Protocol):
    """A folder of service files."""

    @property
    def place(self) -> str:
        """The folder's path."""
        ...

    async def read(self) -> FolderContent | None:
        """What is in it now; None while it is being changed. Raises nothing."""
        ...
