"""How often proxies with a canary report: as often as is wanted, or as the controller can take. Pure.

A controller that cannot read its reports as fast as they come finds harm later with each of them, and the messages that
wait take its memory. Then fewer reports are read sooner: each has everything since the one before.

Reports come faster than they can be read just when one waits for its turn (`report_turns`) for longer than their
interval. A controller that gets no CPU does not see them wait, but its timers are late.
"""

from dataclasses import dataclass

from controller.ports.fleet import ReportsPaced

MEASURE_EVERY = 0.5
"""Seconds between two measurements."""
LATE, LATE_SECONDS = 0.5, 0.5
"""The interval is doubled once so many seconds of lag were measured in all, in measurements in a row that each found
more than this share of the interval."""
FEWER_READ, FEWEST_READ = 4, 8
"""Of the flushes of metrics of a proxy one in so many is read while reports are paced; and where the longest interval
is not enough."""
CALM, CALM_TIMES = 0.3, 20
"""It is halved after so many without such a lag in which the process used less than this share of a core: twice as many
reports then take less than twice as much, so that it does not swing."""


@dataclass(slots=True)
class ReportPace:
    """The interval of load reports, between the `shortest` and the `longest`. Mutable. In seconds."""

    shortest: float
    longest: float
    interval: float = 0.0
    """The present one; the shortest at first."""
    _at_most: bool = True
    """Whether the longest interval is enough."""
    _late: float = 0.0
    """Seconds, in the measurements in a row that were late."""
    _calm: int = 0

    def __post_init__(self) -> None:
        self.interval = self.shortest

    @property
    def is_slowed(self) -> bool:
        """Whether reports come less often than is wanted."""
        return self.interval > self.shortest

    @property
    def paced(self) -> ReportsPaced | None:
        """At what proxies with a canary report while that is less often than is wanted; else None."""
        return ReportsPaced(self.interval, self.flushes) if self.is_slowed else None

    @property
    def flushes(self) -> int:
        """Of how many flushes of metrics one is read."""
        if not self.is_slowed:
            return 1
        return FEWER_READ if self._at_most else FEWEST_READ

    def measure(self, lag: float, busy: float) -> bool:
        """Take a measurement: for how many seconds a report waited or a timer was late, and the share of a core that
        the process used since the last one.

        Returns whether `paced` has changed.
        """
        is_late = lag > LATE * self.interval
        self._late = self._late + lag if is_late else 0.0
        self._calm = self._calm + 1 if busy < CALM and not is_late else 0
        before = self.paced
        if self._late >= LATE_SECONDS:
            self._slow_down()
        elif self._calm >= CALM_TIMES:
            self._speed_up()
        return self.paced != before

    def _slow_down(self) -> None:
        self._late = 0.0
        self._at_most = self.interval < self.longest
        self.interval = min(2 * self.interval, self.longest)

    def _speed_up(self) -> None:
        self._calm = 0
        if self._at_most:
            self.interval = max(self.interval / 2, self.shortest)
        self._at_most = True
