"""The files that commands read: at most 1 MiB, UTF-8, `-` for standard input, a folder for all
service files in it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from controller.cli.failure import Exit, Failure
from controller.core.base.errors import Violation

MAX_BYTES = 1 << 20
"""Bytes of a file: more than any service file may have. A longer one, such as /dev/zero, is refused
unread."""
SUFFIXES = (".yaml", ".yml")
"""Of the service files in a folder."""


class InvalidFiles(Failure):
    """Service files that cannot be applied: each violation as `FILE:LINE: FIELD: MESSAGE`, for
    editors to jump to.

    `located` is each violation with the path of its file.
    """

    def __init__(
        self, message: str, located: Sequence[tuple[str, Violation]], status: Exit = Exit.USAGE, code: str = "INVALID"
    ) -> None:
        super().__init__(status, message, code=code, violations=[violation for _, violation in located])
        self.located = tuple(located)

    @classmethod
    def one(cls, path: str, violations: Sequence[Violation]) -> "InvalidFiles":
        """One file that is not valid."""
        return cls(f"{path} is not a valid service file", [(path, violation) for violation in violations])

    def violation_lines(self) -> list[str]:
        """Each violation with its file and line."""
        return [self._line(path, violation) for path, violation in self.located]

    @staticmethod
    def _line(path: str, violation: Violation) -> str:
        where = f"{path}:{violation.line}" if violation.line else path
        what = f"{violation.field}: {violation.message}" if violation.field else violation.message
        return f"{where}: {what}"

    def document(self) -> dict[str, object]:
        """The same as a JSON document; each violation names its file."""
        violations = [
            {"file": path, "field": v.field, "message": v.message, "line": v.line} for path, v in self.located
        ]
        return {"error": {"code": self.code, "message": self.message, "violations": violations}, **self.facts}


def read_text(path: str) -> str:
    """The text of a file, `-` for standard input. Raises `Failure` if it cannot be read."""
    try:
        if path == "-":
            return _decode(path, sys.stdin.buffer)
        with Path(path).open("rb") as file:
            return _decode(path, file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise Failure(Exit.USAGE, f"{path}: {getattr(error, 'strerror', None) or error}") from None


def expand_folders(paths: Sequence[str]) -> list[str]:
    """The paths with each folder replaced by its service files, by name.

    Raises `Failure` for an empty folder.
    """
    expanded: list[str] = []
    for path in paths:
        if path == "-" or not Path(path).is_dir():
            expanded.append(path)
            continue
        files = sorted(str(file) for file in Path(path).iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise Failure(Exit.USAGE, f"{path}: the folder has no {' or '.join(SUFFIXES)} file")
        expanded += files
    return expanded


def _decode(path: str, file: BinaryIO) -> str:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Failure(
            Exit.USAGE, f"{path}: longer than {MAX_BYTES >> 20} MiB, which no service file is", code="INVALID"
        )
    try:
        return data.decode("utf-8-sig")  # Windows editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise Failure(Exit.USAGE, f"{path}: not UTF-8 at byte {error.start}") from None
