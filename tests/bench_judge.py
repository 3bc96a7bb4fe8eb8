"""What one look at one rollout costs."""

import random
import time
from collections.abc import Iterator

from controller.core.judge import Evidence, judge
from controller.core.spec import Policy
from controller.core.verdict import Window
from controller.simulation.traffic import Server, Side, binomial, poisson

TICKS, WARM, CHUNK = 1200, 100, 20
LIMIT = 100.0
"""Microseconds a look may take."""


def bench_judge() -> dict[str, float]:
    """Load and weight -> microseconds of processor time for a look, in the best stretch of 20 looks.

    The best stretch, since other work on the machine only ever adds; 20 looks hold each kind of block.
    """
    cases = {"10 rps, 5 %": (10.0, 500), "100 rps, 5 %": (100.0, 500), "1000 rps, 50 %": (1000.0, 5000)}
    return {name: _cost(list(_windows(rps, weight))) for name, (rps, weight) in cases.items()}


def _windows(rps: float, weight: int) -> Iterator[Window]:
    rng = random.Random(1)
    stable, canary, server = Side(rng), Side(rng), Server()
    for tick in range(1, TICKS + 1):
        n = poisson(rng, rps)
        n_c = binomial(rng, n, weight / 10_000)
        yield Window(float(tick), weight, stable.serve(server, n - n_c, tick), canary.serve(server, n_c, tick))


def _cost(windows: list[Window]) -> float:
    policy = Policy()
    evidence = Evidence.start(policy)
    for window in windows[:WARM]:
        evidence, _ = judge(policy, evidence, window, 0)
    best = float("inf")
    for first in range(WARM, TICKS, CHUNK):
        started = time.process_time()
        for window in windows[first : first + CHUNK]:
            evidence, _ = judge(policy, evidence, window, 0)
        best = min(best, (time.process_time() - started) / CHUNK * 1e6)
    return best


if __name__ == "__main__":
    for name, cost in bench_judge().items():
        print(f"{name:16} {cost:6.1f} us a look (limit {LIMIT:g})")
