"""When freezes expire, by this controller's own monotonic clock."""

from collections.abc import Iterator

from controller.core.model.freeze import Freeze, expiry_times
from controller.core.model.view import View
from controller.ports.clock import Clock


class FreezeExpiry:
    """Fixes the end of each freeze when it is seen first, and keeps it through all terms of this controller.

    A freeze that arrives while this controller follows the store stands for its ttl from then on: the wall clock of
    the controller where it was set, and this one's own, may be wrong. One that arrives late, since this controller was
    cut off from the store, therefore ends late here. Of those that are found at the start the wall clock is all there
    is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: dict[Freeze, float] = {}
        self._follows = False

    def on_view(self, view: View) -> None:
        """A new view is being served."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._ends = expiry_times(view.freezes, self._ends, now, wall, arriving=self._follows)
        self._follows = True

    def over(self) -> Iterator[Freeze]:
        """Those whose time is over."""
        now = self._clock.monotonic()
        return (freeze for freeze, end in self._ends.items() if now >= end)
