"""Play a scenario against a policy in virtual time, once or often."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.core.latency import bucket_of
from controller.core.rollout import Phase
from controller.core.spec import Service
from controller.core.units import PARTS
from controller.simulation.scenarios import Moment, Scenario
from controller.simulation.traffic import Server, Side, binomial, poisson
from controller.simulation.trial import Trial


@dataclass(frozen=True, slots=True)
class Setting:
    """What is played: how much traffic, for how long, how often a report comes. Times in seconds."""

    rps: float = 100.0
    duration: float = 3600.0
    tick: float = 1.0
    onset: float = 0.0
    """When the canary's fault sets in."""
    stable: Server = field(default_factory=Server)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one rollout went. `seconds` and `requests` (of the canary) count from the fault's onset to the rollback, or
    to the decision to promote; `bad` are the canary's failed, unanswered and slow answers meanwhile."""

    rolled_back: bool
    promoted: bool
    """Promoted for good: the bake is over, or still going on well when the time was up."""
    seconds: float
    requests: int
    bad: int
    why: str
    weights: tuple[int, ...]
    """The canary's weight, minute by minute."""


def play(service: Service, scenario: Scenario, setting: Setting, seed: int) -> Outcome:
    """One rollout from its start until it is over or the time is up."""
    rng = random.Random(seed)  # noqa: S311  (a simulation)
    trial = Trial(service)
    stable, canary = Side(rng), Side(rng)
    canary.slow_from = bucket_of(setting.stable.quantile(0.99) * 1.1)
    rps = setting.rps if scenario.rps is None else scenario.rps
    weights: list[int] = []
    decided: tuple[float, int, int] | None = None
    before = (0, 0)
    ticks = math.ceil(setting.duration / setting.tick)
    why = ""
    for number in range(1, ticks + 1):
        now = number * setting.tick
        share = trial.rollout.weight / PARTS
        moment = Moment(now, now - setting.onset, share)
        n = poisson(rng, rps * setting.tick)
        n_c = binomial(rng, n, share)
        if moment.since <= 0:
            before = (canary.requests, canary.bad)
        usual = scenario.both(setting.stable, moment)
        seen_s = stable.serve(usual, n - n_c, now)
        seen_c = canary.serve(scenario.canary(usual, moment), n_c if scenario.arrives else 0, now)
        missing = scenario.missing and rng.random() < scenario.missing
        look = trial.look(now, None if missing else seen_s, None if missing else seen_c)
        if look.word in ("rollback", "promote") and (decided is None or look.word == "rollback"):
            decided = (max(0.0, moment.since + setting.tick), canary.requests - before[0], canary.bad - before[1])
            why = "; ".join(reason.text for reason in look.verdict.reasons)
        if now >= len(weights) * 60:
            weights.append(trial.rollout.weight)
        if trial.over:
            break
    phase = trial.rollout.phase
    seconds, requests, bad = decided or (now, canary.requests - before[0], canary.bad - before[1])
    rolled_back = phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    promoted = phase in (Phase.PROMOTING, Phase.BAKING, Phase.PROMOTED)
    return Outcome(rolled_back, promoted, seconds, requests, bad, why, tuple(weights))


def play_often(service: Service, scenario: Scenario, setting: Setting, runs: int, seed: int) -> Iterator[Outcome]:
    """Independent rollouts, reproducible by the seed."""
    for run in range(runs):
        yield play(service, scenario, setting, seed * 1_000_003 + run)
