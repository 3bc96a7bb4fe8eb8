"""Versions: `<store id>.<revision, 16 digits>-<content hash>`.

Versions are compared by their hash: equal content is equal, whichever controller served it, before or after a restart.
The revision gives order within one store: it tells a proxy that is ahead of this controller from one that is behind.
A version of another control plane has neither, and is unequal to everything.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

WIDE = 256
"""Bits of the digests that are added up."""
_FORMAT = re.compile(r"(?P<store>.+)\.(?P<revision>\d{16})-(?P<content>[0-9a-f]{16})", re.DOTALL)


class ResourceVersion(NamedTuple):
    """A parsed version. `revision` is the first with this content."""

    store: str
    revision: int
    content: str

    def __str__(self) -> str:
        return f"{self.store}.{self.revision:016d}-{self.content}"


def parse_version(text: str) -> ResourceVersion | None:
    """The version of that text; None if it does not have this program's format."""
    match = _FORMAT.fullmatch(text)
    return ResourceVersion(match["store"], int(match["revision"]), match["content"]) if match else None


def content_hash(*pieces: bytes) -> str:
    """64 bits over the pieces, each with its length, as 16 hexadecimal digits."""
    return hashlib.blake2b(_framed(pieces), digest_size=8).hexdigest()


def combined_hash(contents: Iterable[str]) -> str:
    """The hash of several contents, in their order."""
    return content_hash(*(content.encode() for content in contents))


def joined_hash(name: str, contents: Iterable[str]) -> str:
    """The hash of content hashes, in their order, under a name. They are all of one length, so they are just joined."""
    return content_hash(name.encode(), "".join(contents).encode())


def unordered_hash(digests: Iterable[int]) -> str:
    """The hash of a set, by the digests of its members: their sum. A thousand members are added up in the time in which
    a few are hashed."""
    total = sum(digests) % 2**WIDE
    return content_hash(total.to_bytes(WIDE // 8, "big"))


def digest_of(*pieces: bytes) -> int:
    """The digest of one member of a set: wide, so that sums of chosen ones are not found to be equal."""
    return int.from_bytes(hashlib.blake2b(_framed(pieces), digest_size=WIDE // 8).digest(), "big")


def _framed(pieces: Iterable[bytes]) -> bytes:
    return b"".join(part for piece in pieces for part in (len(piece).to_bytes(8, "big"), piece))
