"""Pauses between attempts: the one retry scheme of the program."""

import random
from collections.abc import Iterator


def backoff(first: float, longest: float, *, spread: float = 0.5) -> Iterator[float]:
    """Endless pauses in seconds: `first`, then doubled each time, up to `longest`.

    Each is shortened by a random part of up to `spread` of it, so that many who lost the same server do not all come
    back at the same moment.
    """
    pause = first
    while True:
        yield pause * random.uniform(1.0 - spread, 1.0)  # noqa: S311  (no secret)
        pause = min(2 * pause, longest)
