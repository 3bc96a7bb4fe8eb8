"""Versions: `<store id>.<revision, 16 digits>-<content hash>`.

The hash is what versions are compared by: equal content is equal, whoever served it, before or after a restart. The
revision gives order within one store, so that a proxy which has seen newer than we have can be told from one that is
behind. A version that somebody else made (another control plane, a liar) has neither, and is unequal to everything.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

_FORM = re.compile(r"(?P<store>.+)\.(?P<revision>\d{16})-(?P<content>[0-9a-f]{16})", re.DOTALL)


class Version(NamedTuple):
    """What a version says. `revision` is the one at which this content was first seen."""

    store: str
    revision: int
    content: str

    def __str__(self) -> str:
        return f"{self.store}.{self.revision:016d}-{self.content}"


def read_version(text: str) -> Version | None:
    """The version that a client names; None if it is not one of ours."""
    found = _FORM.fullmatch(text)
    return Version(found["store"], int(found["revision"]), found["content"]) if found else None


def content_hash(*pieces: bytes) -> str:
    """64 bits over the pieces, each with its length, as 16 hexadecimal digits."""
    framed = b"".join(part for piece in pieces for part in (len(piece).to_bytes(8, "big"), piece))
    return hashlib.blake2b(framed, digest_size=8).hexdigest()


def combined_hash(contents: Iterable[str]) -> str:
    """The hash of several contents, in their order."""
    return content_hash(*(content.encode() for content in contents))
