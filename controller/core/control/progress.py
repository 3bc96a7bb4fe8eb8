"""How long a rollout has been watched."""

from typing import NamedTuple


class Progress(NamedTuple):
    """How long a rollout has been watched, in seconds of a monotonic clock; a restart goes on with what was stored.

    `observed` is the time covered by reports since the last change of position, so that silence serves no dwell.
    `elapsed` is all the time since then. `total` is the time covered by reports since the start: it keeps running
    without traffic, so the deadline still applies.
    """

    observed: float = 0.0
    elapsed: float = 0.0
    total: float = 0.0

    def after(self, seconds: float, reported: float, *, idle: bool) -> "Progress":
        """`seconds` later, of which reports cover `reported`. `idle`: there were no requests, which serves no dwell."""
        observed = self.observed if idle else self.observed + reported
        return Progress(observed, self.elapsed + seconds, self.total + reported)

    def restarted(self) -> "Progress":
        """At the beginning of another position."""
        return Progress(total=self.total)
