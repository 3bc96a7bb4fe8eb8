"""Results remembered by the very value that they are of."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

V = TypeVar("V")
R = TypeVar("R")
MOST = 4096
"""Values whose results are remembered; above that all are forgotten."""


def by_identity(function: Callable[[V], R]) -> Callable[[V], R]:
    """The function of an immutable value, worked out once for each object.

    To hash a policy takes longer than all that it would be looked up for, and it is asked for several times a look.
    """
    known: dict[int, tuple[V, R]] = {}

    @wraps(function)
    def remembered(value: V) -> R:
        found = known.get(id(value))
        if found is None:  # the value is kept beside its result, so its id is not given to another one
            if len(known) >= MOST:
                known.clear()
            found = known[id(value)] = value, function(value)
        return found[1]

    return remembered
