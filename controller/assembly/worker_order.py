"""What the first process tells a worker: on its standard input, which then stays open until it is to end."""

import os
import pickle
import struct
from dataclasses import dataclass
from typing import Self

from controller.settings import Settings

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What a worker is to do. The settings are those that the first process has read: their file may be another by
    now."""

    settings: Settings
    number: int
    """From 2; the first process is the first one."""
    first: str
    """Where the first process is reached."""
    own: str
    """Where the worker is reached."""

    @property
    def name(self) -> str:
        """How the worker is called among the controllers."""
        return f"{self.settings.name}/worker-{self.number}"

    def to_bytes(self) -> bytes:
        """The order as it is written. Only for a process of this installation."""
        data = pickle.dumps(self)
        return _LENGTH.pack(len(data)) + data

    @classmethod
    def read(cls, descriptor: int) -> Self | None:
        """The order that is read from there, and no byte more; None if it ends before. The other end is trusted: it has
        started this process."""
        head = _read(descriptor, _LENGTH.size)
        data = _read(descriptor, *_LENGTH.unpack(head)) if head else b""
        if not data:
            return None
        order = pickle.loads(data)  # noqa: S301  # of the process that started this one
        assert isinstance(order, cls)
        return order


def _read(descriptor: int, length: int) -> bytes:
    """So many bytes; none if it ends before."""
    data = b""
    while len(data) < length:
        part = os.read(descriptor, length - len(data))
        if not part:
            return b""
        data += part
    return data
