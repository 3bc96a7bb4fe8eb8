"""How everything is laid out in etcd.

| key below the prefix | holds |
|---|---|
| `id`, `former/ID` | the store's id, and each that it had before it was restored |
| `state/head` | the revision, the ledger's last line; every change writes it, and compares when it was written |
| `state/services/NAME`, `state/freezes/SCOPE`, `state/exclusions/NODE` | the records, as in every store |
| `ledger/SEQUENCE` | a line and its effect |
| `changes/ID` | the revision and the fingerprint of a change that was applied |
| `controllers/INSTANCE` | a controller that has the store open, under a lease of its own |
| `leader` | who decides, under a lease; its create revision is the token |
| `checkpoint`, `checkpoints/SEQUENCE/PART` | the end of the trimmed lines, and what they led to |
| `migration/marker`, `migration/holder` | a migration into this store was begun; who does it, under a lease |
| `sessions/`, `recordings/`, `cursors/`, `quarantine/` | what their names say |

Since every change compares when the head was written, changes are applied one after the other, each to the very state
that it was checked against: revision, freezes and token need no compare of their own. What is large is compressed, and
everything stays below etcd's limit of 1.5 MB a request.
"""

import json
import zlib
from typing import NamedTuple, Self

from controller.core.model.store_errors import NotWritten

SEQUENCE_DIGITS = 16
MAX_UNPACKED = 16 * 1024 * 1024
"""Bytes of a record once it is unpacked. The largest that a controller stores has 1 MB, or is one service file."""
MAX_CHECKPOINT = 1024 * 1024 * 1024
"""Bytes of a checkpoint once it is unpacked: every service file is in it."""


class Damaged(NotWritten):
    """What is stored under a key is not what a controller writes there. Nothing can be stored until it is mended."""

    def __init__(self, what: str, error: object) -> None:
        why = str(error).partition("\n")[0]
        super().__init__(f"etcd holds {what} that cannot be read ({why}): restore a backup of etcd")


class Keys(NamedTuple):
    """The keys below a prefix such as `/haldane`."""

    prefix: str

    @property
    def below(self) -> str:
        """Every key begins with this."""
        return f"{self.prefix}/"

    @property
    def migration(self) -> str:
        """There while a migration into this store is not finished: it is no store yet."""
        return f"{self.prefix}/migration/marker"

    @property
    def migration_holder(self) -> str:
        """Who fills it, under a lease."""
        return f"{self.prefix}/migration/holder"

    @property
    def store_id(self) -> str:
        """The store's id."""
        return f"{self.prefix}/id"

    def former(self, store_id: str) -> str:
        """There is such a key if the store had that id before it was restored."""
        return f"{self.prefix}/former/{store_id}"

    @property
    def state(self) -> str:
        """What a view is made of begins with this."""
        return f"{self.prefix}/state/"

    @property
    def head(self) -> str:
        """The newest revision, and the end of the ledger."""
        return f"{self.prefix}/state/head"

    def service(self, name: str) -> str:
        """The record of a service."""
        return f"{self.prefix}/state/services/{name}"

    def freezes(self, scope: str) -> str:
        """The freezes of a scope."""
        return f"{self.prefix}/state/freezes/{scope}"

    def exclusion(self, node: str) -> str:
        """The exclusion of a proxy."""
        return f"{self.prefix}/state/exclusions/{node}"

    @property
    def ledger(self) -> str:
        """The lines begin with this."""
        return f"{self.prefix}/ledger/"

    @property
    def changes(self) -> str:
        """What became of changes begins with this."""
        return f"{self.prefix}/changes/"

    @property
    def sessions(self) -> str:
        """The sessions begin with this."""
        return f"{self.prefix}/sessions/"

    @property
    def cursors(self) -> str:
        """The cursors begin with this."""
        return f"{self.prefix}/cursors/"

    @property
    def quarantines(self) -> str:
        """What was set aside begins with this."""
        return f"{self.prefix}/quarantine/"

    def line(self, sequence: int) -> str:
        """A line of the ledger. Keys are sorted as their sequences are."""
        return f"{self.prefix}/ledger/{sequence:0{SEQUENCE_DIGITS}d}"

    def change(self, change_id: str) -> str:
        """What became of a change."""
        return f"{self.prefix}/changes/{change_id}"

    @property
    def leader(self) -> str:
        """Who decides."""
        return f"{self.prefix}/leader"

    @property
    def members(self) -> str:
        """The records of the controllers begin with this."""
        return f"{self.prefix}/controllers/"

    def member(self, instance: str) -> str:
        """The record of a controller."""
        return f"{self.members}{instance}"

    @property
    def checkpoint(self) -> str:
        """Where the trimmed part of the ledger ends."""
        return f"{self.prefix}/checkpoint"

    @property
    def checkpoint_parts(self) -> str:
        """The parts of the checkpoints begin with this."""
        return f"{self.prefix}/checkpoints/"

    def checkpoint_part(self, sequence: int, number: int) -> str:
        """A part of what the lines up to that sequence led to."""
        return f"{self.checkpoint_parts}{sequence:0{SEQUENCE_DIGITS}d}/{number:04d}"

    def session(self, service: str) -> str:
        """The session of a service's rollout."""
        return f"{self.prefix}/sessions/{service}"

    @property
    def recordings(self) -> str:
        """The recordings begin with this."""
        return f"{self.prefix}/recordings/"

    def cursor(self, reader: str) -> str:
        """How far a reader of the ledger has come."""
        return f"{self.prefix}/cursors/{reader}"

    def quarantine(self, service: str, revision: int) -> str:
        """A record that could not be read, set aside when another one took its place."""
        return f"{self.prefix}/quarantine/{service}/{revision}"


class CheckpointRef(NamedTuple):
    """The end of the trimmed lines: the sequence and hash of the last one, and in how many parts the checkpoint is."""

    sequence: int
    hash: str
    parts: int

    @classmethod
    def read(cls, value: bytes) -> Self:
        """What `dump` made. `Damaged` if it did not."""
        try:
            plain = json.loads(value)
            return cls(int(plain["sequence"]), str(plain["hash"]), int(plain["parts"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged("a checkpoint of the ledger", error) from error

    def dump(self) -> bytes:
        """As it is stored."""
        return json.dumps(self._asdict()).encode()


def packed(text: str) -> bytes:
    """A text, compressed."""
    return zlib.compress(text.encode(), 1)


def unpacked(data: bytes, limit: int = MAX_UNPACKED) -> str:
    """What `packed` made. zlib.error or ValueError if it did not, or if it has more bytes than that."""
    reader = zlib.decompressobj()
    text = reader.decompress(data, limit)
    if not reader.eof:
        reason = f"more than {limit} bytes" if reader.unconsumed_tail else "its end is missing"
        raise ValueError(f"cannot be unpacked: {reason}")
    return text.decode()


def as_text(name: bytes) -> str:
    """What is stored as text, such as a key: also what is no text, which no controller has written."""
    return name.decode(errors="surrogateescape")


def as_bytes(name: str) -> bytes:
    """What `as_text` read."""
    return name.encode(errors="surrogateescape")
