"""What one look at one rollout costs: the judge alone, and the whole of it (judge, custom metrics, decision).

Times are the least of several passes over the same windows, piece by piece: on a machine with other work to do the
rest measures the other work. A piece of plain Python beside them tells how fast the machine is today, and the number of
bytecode instructions is the same on every machine.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from controller.core.judge.judge import judge
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample, Window
from controller.process.clock import SystemClock
from controller.runtime.recorder import Recorder
from controller.simulation.simulated_version import Server, SimulatedVersion, binomial, poisson
from controller.simulation.trial import Trial
from controller.store.memory import MemoryStore
from tests.bench import Row
from tests.judge.driving import service_for

POLICY = Policy(steps=(500,), dwell=1e9, deadline=1e9)
PASSES, PIECE, PIECES, BEFORE = 10, 20, 30, 200
"""Looks in a piece, pieces of a pass, and looks that come before, so that everything is warm and every block open."""
CASES = {
    "100 rps, 5 %, each second": (100.0, 500, 1.0),
    "1000 rps, 5 %, each second": (1000.0, 500, 1.0),
    "100 rps, 50 %, each second": (100.0, 5000, 1.0),
    "100 rps, 5 %, five a second": (100.0, 500, 0.2),
    "2 rps, 5 %, each second": (2.0, 500, 1.0),
    "100 rps, in the bake": (100.0, 10_000, 1.0),
}


def windows(rps: float, weight: int, tick: float) -> list[Window]:
    """Reports of two healthy versions; before a bake, of both side by side."""
    rng = random.Random(1)
    stable, canary = SimulatedVersion(rng), SimulatedVersion(rng)
    found = []
    for number in range(1, BEFORE + PIECES * PIECE + 1):
        now = number * tick
        served = 5000 if weight == 10_000 and number <= BEFORE // 2 else weight
        n = poisson(rng, rps * tick)
        n_c = binomial(rng, n, served / 10_000)
        found.append(Window(now, served, stable.serve(Server(), n - n_c, now), canary.serve(Server(), n_c, now)))
    return found


def least(look: Callable[[Window], object], start: Callable[[], None], seen: Sequence[Window]) -> float:
    """Microseconds of one look."""
    best = [float("inf")] * PIECES
    for _ in range(PASSES):
        start()
        for window in seen[:BEFORE]:
            look(window)
        for piece in range(PIECES):
            some = seen[BEFORE + piece * PIECE : BEFORE + (piece + 1) * PIECE]
            begun = time.perf_counter()
            for window in some:
                look(window)
            best[piece] = min(best[piece], time.perf_counter() - begun)
    return sum(best) / (PIECES * PIECE) * 1e6


def instructions(look: Callable[[Window], object], start: Callable[[], None], seen: Sequence[Window]) -> float:
    """Bytecode instructions of one look."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    start()
    for window in seen[:BEFORE]:
        look(window)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for window in seen[BEFORE:]:
            look(window)
    finally:
        sys.settrace(before)
    return count / len(seen[BEFORE:])


class Judge:
    """The judge alone."""

    def start(self) -> None:
        """From the beginning of a rollout."""
        self.state = JudgeState.start(POLICY)

    def look(self, window: Window) -> None:
        """One look."""
        self.state, _ = judge(POLICY, self.state, window, 0)


class Rollout:
    """A whole look, as `serve` has it, but for the store and the proxies."""

    def start(self) -> None:
        """From the beginning of a rollout."""
        self.trial = Trial(service_for(POLICY))

    def look(self, window: Window) -> None:
        """One look."""
        self.trial.tick(window.at, window.stable, window.canary)


class Recorded(Rollout):
    """The same, and recorded, with what `serve` leaves for the background."""

    def start(self) -> None:
        """From the beginning of a rollout."""
        super().start()
        clock = SystemClock()
        self.recorder = Recorder(MemoryStore(clock=clock), clock)

    def look(self, window: Window) -> None:
        """One look."""
        super().look(window)
        self.recorder.add(self.trial.state, self.trial.session, window, decided=False)


def plain_python(window: Window | None, numbers: Sequence[int] = range(1000)) -> int:
    """Something that only depends on the machine."""
    total = 0
    for number in numbers:
        total += number * number
    return total


def run() -> list[Row]:
    """All of them."""
    gc.disable()
    try:
        unit = least(plain_python, lambda: None, [Window(0.0, 0, Sample(), Sample())] * (BEFORE + PIECES * PIECE))
        rows = [Row("a loop of 1000 multiplications", "plain Python", unit, "us")]
        for case, given in CASES.items():
            seen = windows(*given)
            alone, whole = Judge(), Rollout()
            cost = least(alone.look, alone.start, seen)
            rows.append(Row("one look, the judge", case, cost, "us"))
            rows.append(Row("one look, the judge, in such loops", case, cost / unit, "x"))
            rows.append(Row("one look, bytecode instructions", case, instructions(alone.look, alone.start, seen), ""))
            if given[1] < 10_000:
                cost, recorded = least(whole.look, whole.start, seen), Recorded()
                rows.append(Row("one look, all of it", case, cost, "us"))
                more = least(recorded.look, recorded.start, seen) / cost
                rows.append(Row("one look and its recording, in looks without", case, more, "x"))
        return rows
    finally:
        gc.enable()
