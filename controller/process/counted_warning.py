"""A warning that is logged at most once a minute, with how often its cause has occurred since."""

import time
from collections.abc import Callable

import structlog

EVERY = 60.0
"""Seconds between two lines."""

log = structlog.get_logger()


class CountedWarning:
    """One kind of event that others can cause as often as they like, so that it must not fill the log."""

    def __init__(self, event: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`event` names it in the log."""
        self._event = event
        self._monotonic = monotonic
        self._count = 0
        self._next = 0.0

    def count(self, **facts: object) -> None:
        """It has occurred once more. `facts` are logged if this one is."""
        self._count += 1
        now = self._monotonic()
        if now >= self._next:
            log.warning(self._event, count=self._count, **facts)
            self._count = 0
            self._next = now + EVERY
