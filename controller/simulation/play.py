"""Play a scenario against a policy in virtual time, once or often."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.rollout import Phase
from controller.core.model.service import Service
from controller.core.traffic.latency_buckets import bucket_of
from controller.core.traffic.window import Sample
from controller.simulation.scenario import Moment, Scenario
from controller.simulation.simulated_version import Server, SimulatedVersion, binomial, poisson
from controller.simulation.trial import Trial

SLOW = 1.1
"""An answer is a bad one for its latency beyond so many times stable's p99."""


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
class PlayedRollout:
    """How one rollout went.

    `at` is when it was decided: the rollback, or else the promotion; None if neither came. From the fault's onset to
    that decision or to the end, `seconds` passed, the canary had `requests`, and `bad` of its answers failed, were
    slow or never came. `moves` are (time, weight of the canary from then on).
    """

    rolled_back: bool
    promoted: bool
    """Nothing was held against it in the bake either."""
    at: float | None
    seconds: float
    requests: int
    bad: int
    cause: str
    """The code of the reason of a rollback."""
    moves: tuple[tuple[float, int], ...]


def play(service: Service, scenario: Scenario, setting: Setting, seed: int) -> PlayedRollout:
    """One rollout from its start until it is over or the time is up."""
    rng = random.Random(seed)  # noqa: S311  (a simulation)
    trial = Trial(service)
    stable, canary = SimulatedVersion(rng), SimulatedVersion(rng)
    canary.slow_from = bucket_of(setting.stable.quantile(0.99) * SLOW)
    canary.late_from_ms = scenario.both(setting.stable, Moment(0.0, -1.0, 0.0, seed)).late_first_ms * SLOW
    rps = setting.rps if scenario.rps is None else scenario.rps
    moves = [(0.0, trial.rollout.weight)]
    before, at, cause, counted = (0, 0), None, "", (0, 0)
    unreported: Sample | None = None
    now = 0.0
    for number in range(1, math.ceil(setting.duration / setting.tick) + 1):
        now = number * setting.tick
        moment = Moment(now, now - setting.onset, trial.rollout.weight / TOTAL_WEIGHT, seed, now - moves[-1][0])
        if moment.since <= 0:
            before = (canary.requests, canary.bad)
        n = poisson(rng, rps * setting.tick)
        copies = trial.rollout.copies / TOTAL_WEIGHT
        n_c = binomial(rng, n, copies or moment.share)
        usual = scenario.both(setting.stable, moment)
        sample_s = stable.serve(usual, n if copies else n - n_c, now)
        sample_c = canary.serve(scenario.canary(usual, moment), n_c if scenario.arrives else 0, now)
        missing = scenario.missing > 0 and rng.random() < scenario.missing
        unreported = sample_c if unreported is None else _together(unreported, sample_c)
        late = scenario.late(moment)
        ticked = trial.tick(now, None if missing else sample_s, None if missing or late else unreported)
        unreported = unreported if late else None
        if trial.rollout.weight != moves[-1][1]:
            moves.append((now, trial.rollout.weight))
        if ticked.word in ("rollback", "promote"):
            at, counted, cause = now, (canary.requests, canary.bad), ticked.verdict.cause
        if trial.over:
            break
    phase = trial.rollout.phase
    rolled_back = phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    if at is None:
        counted = (canary.requests, canary.bad)
    return PlayedRollout(
        rolled_back=rolled_back,
        promoted=phase in (Phase.PROMOTING, Phase.BAKING, Phase.PROMOTED),
        at=at,
        seconds=max(0.0, (now if at is None else at) - setting.onset + (setting.tick if setting.onset else 0.0)),
        requests=counted[0] - before[0],
        bad=counted[1] - before[1],
        cause=cause if rolled_back else "",
        moves=tuple(moves),
    )


def _together(first: Sample, second: Sample) -> Sample:
    """Two samples of one version in one report."""
    errors, latency, ttft = Counter(first.errors), Counter(dict(first.latency)), Counter(dict(first.ttft))
    errors.update(second.errors)
    latency.update(dict(second.latency))
    ttft.update(dict(second.ttft))
    return Sample(
        first.started + second.started,
        first.ok + second.ok,
        errors,
        tuple(sorted(latency.items())),
        second.edges,
        second.in_progress,
        first.cancelled + second.cancelled,
        tuple(sorted(ttft.items())),
    )


def play_often(service: Service, scenario: Scenario, setting: Setting, runs: int, seed: int) -> Iterator[PlayedRollout]:
    """Independent rollouts, reproducible by the seed."""
    for run in range(runs):
        yield play(service, scenario, setting, seed * 1_000_003 + run)
