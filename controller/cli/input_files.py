"""The files that commands read: bounded, UTF-8, `-` for standard input."""

import sys
from pathlib import Path
from typing import BinaryIO

from controller.cli.failure import Exit, Failure
from controller.core.base.errors import Violation

MOST = 1 << 20
"""Bytes that are read: more than any service file may have, so that one that never ends is refused, not read."""


def text_of(path: str) -> str:
    """The text of a file, `-` for standard input; `Failure` if it cannot be read."""
    try:
        if path == "-":
            return _decoded(path, sys.stdin.buffer)
        with Path(path).open("rb") as file:
            return _decoded(path, file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise Failure(Exit.USAGE, f"{path}: {getattr(error, 'strerror', None) or error}") from None


def not_valid(path: str, violations: tuple[Violation, ...]) -> Failure:
    """The failure that names each violation of a service file with its line."""
    return Failure(Exit.USAGE, f"{path} is not a valid service file", code="INVALID", violations=violations, file=path)


def _decoded(path: str, file: BinaryIO) -> str:
    data = file.read(MOST + 1)
    if len(data) > MOST:
        raise Failure(Exit.USAGE, f"{path}: longer than {MOST >> 20} MiB, which no service file is", code="INVALID")
    try:
        return data.decode("utf-8-sig")  # editors of Windows begin a file with a mark
    except UnicodeDecodeError as error:
        raise Failure(Exit.USAGE, f"{path}: not UTF-8 at byte {error.start}") from None
