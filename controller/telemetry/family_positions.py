"""Where the wanted metrics stand in the flushes of one proxy. Pure.

Envoy sends its metrics in the same order at each flush, hundreds for every cluster, until it has a new one or drops
some. So the names are read once, and after that only those of the wanted metrics, at their places, are compared.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

MAX_REUSES = 20
"""Flushes until all names are read again: one that appears just as another one goes would not be missed for long."""

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Wanted(Protocol[M_co]):
    """Which families are wanted."""

    def meaning_of(self, name: bytes) -> M_co | None:
        """What the family of that name means; None if it is not wanted."""
        ...


class FamilyPositions(Generic[M]):
    """The places of the wanted metric families in the newest flush of one stream, and what each means. Mutable."""

    def __init__(self) -> None:
        self._wanted: Wanted[M] | None = None
        self._places: list[tuple[int, bytes, M]] = []
        """Index in a flush, the serialised beginning of the family up to the end of its name, what it means."""
        self._families = -1
        """How many families a flush has."""
        self._reuses = 0

    def find(self, families: Sequence[bytes], wanted: Wanted[M]) -> list[tuple[M, bytes]]:
        """The wanted ones of these serialised families, with their meanings, in their order.

        `wanted` is another object when what is wanted changes.
        """
        if len(families) == self._families and wanted is self._wanted and self._reuses < MAX_REUSES:
            self._reuses += 1
            found = [(meaning, families[index]) for index, _, meaning in self._places]
            heads = zip(found, self._places, strict=True)
            if all(family.startswith(head) for (_, family), (_, head, _) in heads):
                return found
        return self._scan(families, wanted)

    def _scan(self, families: Sequence[bytes], wanted: Wanted[M]) -> list[tuple[M, bytes]]:
        self._wanted, self._families, self._reuses = wanted, len(families), 0
        self._places, found = [], []
        for index, family in enumerate(families):
            start, end = _name_bounds(family)
            meaning = wanted.meaning_of(family[start:end])
            if meaning is not None:
                self._places.append((index, family[:end], meaning))
                found.append((meaning, family))
        return found


def _name_bounds(family: bytes) -> tuple[int, int]:
    """Where the name of a serialised MetricFamily stands: its first field, as a tag, a length of one or two bytes, and
    the text."""
    if len(family) < 3:
        return 0, 0
    size = family[1]
    return (2, 2 + size) if size < 0x80 else (3, 3 + (size & 0x7F) + (family[2] << 7))
