"""Requests and events of both versions over the same time: the data of every two-sample test."""

from typing import NamedTuple


class PairedCounts(NamedTuple):
    """Requests (n) of the canary and of stable, and how many of them were events: errors, slow
    answers, ..."""

    canary_n: float = 0.0
    canary_events: float = 0.0
    stable_n: float = 0.0
    stable_events: float = 0.0

    def plus(self, other: "PairedCounts") -> "PairedCounts":
        """The counts of both times together."""
        n_c, x_c, n_s, x_s = self
        more_n_c, more_x_c, more_n_s, more_x_s = other
        return PairedCounts(n_c + more_n_c, x_c + more_x_c, n_s + more_n_s, x_s + more_x_s)

    @property
    def canary_rate(self) -> float | None:
        """The canary's share of events; None without requests."""
        return self.canary_events / self.canary_n if self.canary_n else None

    @property
    def stable_rate(self) -> float | None:
        """Stable's share of events; None without requests."""
        return self.stable_events / self.stable_n if self.stable_n else None
