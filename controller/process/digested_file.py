"""A file that is whole or counts as nothing: its first line is the digest of the rest."""

import hashlib
import os
from pathlib import Path


class NotWhole(Exception):  # noqa: N818
    """The digest is not that of the content."""

    def __init__(self) -> None:
        super().__init__("its digest is not that of its content")


def read_digested(path: Path) -> bytes:
    """The content. FileNotFoundError, another OSError if the disk refuses, or `NotWhole`."""
    digest, _, body = path.read_bytes().partition(b"\n")
    if digest.decode(errors="replace") != hashlib.sha256(body).hexdigest():
        raise NotWhole
    return body


def write_digested(path: Path, body: bytes) -> None:
    """Replace the file as one, readable by its user alone: after a crash it is the old one or the new one. OSError if
    the disk refuses, or the folder is not there."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
