"""What was computed before, so that it is computed once."""

import sys
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class RecentCache:
    """Computed values by what they were computed of, in two generations. A value is never false."""

    def __init__(self, limit: int = sys.maxsize) -> None:
        """`limit`: values of one generation; beyond it, a new one begins."""
        self._limit = limit
        self._new: dict[Hashable, object] = {}
        self._old: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())

    def get(self, key: Hashable, make: Callable[..., T], *given: object) -> T:
        """The value of that key, made by `make(*given)` the first time."""
        value = self._new.get(key)
        if value is None:
            value = self._old.get(key) or make(*given)
            if len(self._new) >= self._limit:
                self.evict_unused()
            self._new[key] = value
        return value  # type: ignore[return-value]

    def evict_unused(self) -> None:
        """Drop what `get` has not returned since the last call of this method."""
        self._old, self._new = self._new, {}
