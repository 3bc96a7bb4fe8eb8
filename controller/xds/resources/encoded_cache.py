"""What was encoded before, so that it is encoded once."""

from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class EncodedCache:
    """Encoded values by what they were made of, in two generations."""

    def __init__(self) -> None:
        self._new: dict[Hashable, object] = {}
        self._old: dict[Hashable, object] = {}

    def get(self, key: Hashable, make: Callable[..., T], *given: object) -> T:
        """The value of that key, made by `make(*given)` the first time."""
        value = self._new.get(key) or self._old.get(key) or make(*given)
        self._new[key] = value
        return value  # type: ignore[return-value]

    def evict_unused(self) -> None:
        """Drop what `get` has not returned since the last call of this method."""
        self._old, self._new = self._new, {}
