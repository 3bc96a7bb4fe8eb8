"""Full disks: a real one, where this process may mount one, and connections that have a quota, anywhere."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any


def fill(ballast: Path) -> None:
    """Write until no byte more fits."""
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass


class QuotaConnection(sqlite3.Connection):
    """A connection whose commits fail while the files of its folder have more bytes than `quota`."""

    folder: Path
    quota: float = float("inf")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self.used() > self.quota:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        return super().execute(statement, *values)

    def used(self) -> int:
        """The bytes of all files in the folder."""
        return sum(file.stat().st_size for file in self.folder.iterdir())
