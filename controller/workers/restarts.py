"""When a worker that has ended is started again. Pure."""

import signal
from collections.abc import Iterator

from controller.process.backoff import backoff

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds until a worker is started again: doubled with each end that comes soon after a start."""
STEADY = 60.0
"""Seconds for which a worker must have run, so that its end counts as the first one again."""


class Restarts:
    """The pauses of one worker. Mutable."""

    def __init__(self) -> None:
        self.number = 0
        """How often it has ended."""
        self._pauses = _pauses()

    def pause_after(self, lasted: float) -> float:
        """The seconds until it is started again, after a run of so many seconds."""
        self.number += 1
        if lasted >= STEADY:
            self._pauses = _pauses()
        return next(self._pauses)


def _pauses() -> Iterator[float]:
    return backoff(FIRST_PAUSE, LONGEST_PAUSE, spread=0)


def describe_exit(code: int) -> str:
    """An exit code as `asyncio.subprocess` has it, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
