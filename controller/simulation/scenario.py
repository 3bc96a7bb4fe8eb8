"""What a scenario is: how two versions behave at a moment, and what is reported of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from controller.simulation.simulated_version import Server


@dataclass(frozen=True, slots=True)
class Moment:
    """When: seconds since the rollout began, since the fault set in (negative before), and the canary's share.

    `seed` is the rollout's own.
    """

    t: float
    since: float
    share: float
    seed: int = 0
    risen: float = 0.0
    """Seconds since the canary's share last rose."""

    def dice(self, of: str, period: float = 1.0) -> random.Random:
        """Dice for one thing in one period of so many seconds: thrown again they fall the same, and no other dice of
        the simulation are touched."""
        return random.Random(f"{self.seed} {of} {self.t // period:.0f}")  # noqa: S311  (a simulation)


Behaviour = Callable[[Server, Moment], Server]
"""What a moment makes of a server."""
Condition = Callable[[Moment], bool]


def as_usual(server: Server, moment: Moment) -> Server:  # noqa: ARG001
    """No difference."""
    return server


def never(moment: Moment) -> bool:  # noqa: ARG001
    """At no moment."""
    return False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A described canary and its surroundings. `both` happens to both versions, `canary` to the canary alone.

    `rps` is of both together, None for what is asked for; `missing` is the chance that a tick has no report. While
    `late` holds, the canary is not reported; its next report has all that it did meanwhile.
    """

    name: str
    about: str
    healthy: bool
    canary: Behaviour = as_usual
    both: Behaviour = as_usual
    rps: float | None = None
    missing: float = 0.0
    arrives: bool = True
    late: Condition = never
    streaming: bool = False
    """Whether its responses are streams: it is for services with `streaming: true`."""
