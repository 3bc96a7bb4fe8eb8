"""A cache of results by the identity of the value."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

V = TypeVar("V")
R = TypeVar("R")
MOST = 4096
"""Values in the cache at most; beyond that it is emptied."""


def by_identity(function: Callable[[V], R]) -> Callable[[V], R]:
    """The function of an immutable value, computed once for each object.

    By identity, since hashing a Policy costs more than recomputing the cached value.
    """
    known: dict[int, tuple[V, R]] = {}

    @wraps(function)
    def cached(value: V) -> R:
        entry = known.get(id(value))
        if entry is None:  # the value is kept with its result, so that no other object gets its id
            if len(known) >= MOST:
                known.clear()
            entry = known[id(value)] = value, function(value)
        return entry[1]

    return cached
