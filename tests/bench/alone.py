"""The xDS server alone, with so many services on one port, in a process of its own: writes its port, then serves."""

import asyncio
import resource
import sys

from controller.process.clock import SystemClock
from controller.process.event_loop import EventLoop
from controller.process.gc_tuning import tune_gc
from controller.xds.server import XdsServer
from tests.bench.crowd import LIMITS, many, serving
from tests.xds.views import view


async def main(count: int) -> None:
    """Until standard input ends."""
    xds = XdsServer(clock=SystemClock(), limits=LIMITS)
    xds.publish(view(1, *many(count)))
    tune_gc()
    async with serving(xds) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(main(int(sys.argv[1])))
