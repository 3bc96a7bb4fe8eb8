"""Rollouts that the decider drives, and what is recorded of them."""

import contextlib
from collections.abc import AsyncIterator

from controller.core.history.backtest import Backtest, run_backtest
from controller.core.history.recording import Recording
from controller.core.model.service import Policy
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import LoopHarness, running_rollout


async def recorded(harness: LoopHarness) -> Recording:
    """What is kept of the rollout."""
    found = await harness.recorder.find((await harness.rollout()).id)
    assert found is not None
    return found


async def judged(harness: LoopHarness, policy: Policy) -> Backtest:
    """It, judged again."""
    recording = await recorded(harness)
    return run_backtest(policy, "v1", "v2", recording.windows.records())


METRICS = "  metrics: [{name: accuracy, margin: 5%}, {name: queue, margin: 50%}]\n"


def read(number: int) -> dict[str, Reading]:
    """What Prometheus says at every fourth look: labels, a queue, now and then neither."""
    if number % 4:
        return {}
    if number % 28 == 0:
        return {"accuracy": Unread("of v2: NaN"), "queue": Unread("of v2: NaN")}
    return {"accuracy": Counted(40, 2, 160, 8), "queue": Gauged(4.0 + number % 3, 5.0, True, 3, 5)}


@contextlib.asynccontextmanager
async def measured(store: MemoryStore, clock: FakeClock) -> AsyncIterator[LoopHarness]:
    """A loop with a rollout, which has custom metrics, that has just started."""
    async with running_rollout(store, clock, metrics=("accuracy", "queue"), extra=METRICS) as harness:
        yield harness


async def turn_bad(harness: LoopHarness, look: int) -> None:
    """One of sixty looks at a canary that turns bad at the second step."""
    harness.readings = read(look)
    await harness.tick(canary_errors=0.0 if look < 40 else 0.1)
