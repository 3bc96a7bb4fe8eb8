"""What takes the place of a message while a stream is broken."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A stream broke and is being reopened; `why` says what was wrong."""

    why: str
