"""A change that was applied."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Applied:
    """A change that was applied: at which revision, and its `Change.fingerprint`."""

    revision: int
    fingerprint: str
