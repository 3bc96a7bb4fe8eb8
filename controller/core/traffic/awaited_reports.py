"""When a service's window is complete: which proxies report on it, and which reports are still
missing."""

from dataclasses import dataclass, field

PATIENCE = 2.0
"""A proxy that has been silent for so many of its report intervals is not waited for any longer."""


@dataclass(slots=True)
class AwaitedReports:
    """The proxies that report on one service. Mutable. Times are seconds on a monotonic clock."""

    waited_until: dict[str, float] = field(default_factory=dict)
    """By proxy: until when its next report is waited for."""
    missing: set[str] = field(default_factory=set)
    """The proxies that have not reported since the last window."""
    any_report: bool = False
    """Whether any proxy has reported since the last window."""

    def on_report(self, proxy: str, interval: float, now: float) -> None:
        """A proxy has reported; it promises the next report in `interval` seconds."""
        self.waited_until[proxy] = now + PATIENCE * interval
        self.missing.discard(proxy)
        self.any_report = True

    def on_leave(self, proxy: str) -> None:
        """A proxy's reports have ended: it is not waited for."""
        self.waited_until.pop(proxy, None)
        self.missing.discard(proxy)

    def is_complete(self, now: float) -> bool:
        """Whether a window can be closed: some proxy has reported, and none is still waited for.

        This runs at every report, so it stops at the first proxy that is waited for.
        """
        return self.any_report and not any(self.waited_until[proxy] >= now for proxy in self.missing)

    def close_window(self) -> None:
        """From now on every proxy's report is missing again."""
        self.missing = set(self.waited_until)
        self.any_report = False
