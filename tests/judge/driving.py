"""Driving a judge by hand: samples and windows in few words, and rollouts under load."""

import random
from collections.abc import Callable

from controller.core.judge.judge import judge
from controller.core.judge.state import JudgeState
from controller.core.judge.verdict import Verdict
from controller.core.model.service import Endpoint, Listen, Policy, Service, Version
from controller.core.traffic.window import Sample, Window
from controller.simulation.simulated_version import Server, SimulatedVersion, binomial, poisson

QUICK = Policy(steps=(2000, 5000), dwell=2, warmup=2, bake=3)
STEADY = Policy(steps=(500,), dwell=1e6, warmup=0, patience=0, deadline=1e6)
"""One step that is never left, no warm-up, no patience: what the judge says by itself."""
Behaviour = Server | Callable[[float], Server]
"""How a side behaves, or how it does at a time."""
USUAL = Server()
EDGES = (5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))


def _at(load: Behaviour, now: float) -> Server:
    return load(now) if callable(load) else load


def sample(n: int, *, failed: int = 0, refused: int = 0, slow: int = 0, timed: bool = True) -> Sample:
    """n answered requests: `failed` with 5xx, `refused` with 4xx; `slow` of them took 50 ms, the others 10 ms."""
    latency = tuple([bucket for bucket in ((10.0, n - slow), (50.0, slow)) if timed and bucket[1]])
    return Sample(n, n - failed - refused, {"5xx": failed, "4xx": refused}, latency, EDGES)


class JudgeRun:
    """One rollout's judge with its clock. `look` hands it a window and returns the verdict."""

    def __init__(self, policy: Policy = STEADY, weight: int = 500) -> None:
        self.policy, self.weight, self.step = policy, weight, 0
        self.state = JudgeState.start(policy)
        self.now = 0.0
        self.verdicts: list[Verdict] = []

    def tick(self, stable: Sample | None, canary: Sample | None, seconds: float = 1.0) -> Verdict:
        """One tick."""
        self.now += seconds
        return self.tick_window(Window(self.now, self.weight, stable, canary))

    def tick_window(self, window: Window) -> Verdict:
        """One tick on a window."""
        self.state, verdict = judge(self.policy, self.state, window, self.step)
        self.verdicts.append(verdict)
        return verdict

    def load(
        self,
        ticks: int,
        *,
        rps: float = 100.0,
        seed: int = 1,
        stable: Behaviour = USUAL,
        canary: Behaviour = USUAL,
        until: Callable[[Verdict], bool] | None = None,
    ) -> Verdict:
        """Random traffic for so many ticks, or until a verdict is as wanted."""
        rng = random.Random(seed)
        sides = SimulatedVersion(rng), SimulatedVersion(rng)
        for _ in range(ticks):
            n = poisson(rng, rps)
            n_c = binomial(rng, n, self.weight / 10_000)
            seen_s = sides[0].serve(_at(stable, self.now), n - n_c, self.now)
            seen_c = sides[1].serve(_at(canary, self.now), n_c, self.now)
            verdict = self.tick(seen_s, seen_c)
            if until and until(verdict):
                break
        return self.verdicts[-1]


def codes(verdict: Verdict) -> list[str]:
    """The codes of its reasons."""
    return [reason.code for reason in verdict.reasons]


def service_for(policy: Policy) -> Service:
    """A service that exists only to be judged by this policy."""
    return Service(
        name="trial",
        listen=Listen(port=1),
        versions=tuple(
            Version(name=name, endpoints=(Endpoint(host="127.0.0.1", port=port),))
            for name, port in (("stable", 1), ("canary", 2))
        ),
        stable="stable",
        policy=policy,
    )
