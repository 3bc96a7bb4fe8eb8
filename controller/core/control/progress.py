"""How long a rollout has been watched."""

from typing import NamedTuple


class Progress(NamedTuple):
    """How long a rollout has been watched, in seconds of a monotonic clock; a restart goes on with what was stored.

    `observed` counts, since the last change of phase or step, only time for which reports arrived, so a dwell is
    never served by silence; `elapsed` counts all time since then; `total` is the time since the start for which
    reports arrived: it runs on where nobody asks for anything, so a deadline comes also then.
    """

    observed: float = 0.0
    elapsed: float = 0.0
    total: float = 0.0

    def after(self, seconds: float, seen: float, *, idle: bool) -> "Progress":
        """`seconds` later, reports having covered `seen` more of them; `idle`: nobody asked for anything meanwhile."""
        observed = self.observed if idle else self.observed + seen
        return Progress(observed, self.elapsed + seconds, self.total + seen)

    def entered(self) -> "Progress":
        """At the beginning of another phase or step."""
        return Progress(total=self.total)
