"""One run of a demo: its processes, its acts, and how it ends. No process outlives it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import aiohttp
import grpc

from controller.cli.output import print_json
from controller.demo.display import Display
from controller.demo.environment import NotReady
from controller.demo.harness.child_processes import ChildDied, Children, children
from controller.demo.harness.missing import ProgramMissing
from controller.demo.scenario_run import Act
from controller.demo.traffic_observer import NotObserved

A = TypeVar("A", bound=Act)

TERMINATED = 128 + signal.SIGTERM
"""The exit code after SIGTERM, as shells have it."""

FAILURES = (NotReady, NotObserved, ChildDied, TimeoutError, aiohttp.ClientError, grpc.RpcError)
"""What can go wrong without a bug in the demo."""


def run(play: Callable[[Children], Coroutine[Any, Any, bool]], display: Display, *, as_json: bool) -> int:
    """Play it: 0 if `play` returns that everything was observed, 1 if not, `TERMINATED` after SIGTERM or SIGHUP."""
    with children() as group:
        try:
            ok = asyncio.run(_until_signal(play(group)))
        except ProgramMissing as missing:
            display.show(str(missing))
            ok = False
        except FAILURES as error:
            display.show(f"the demo failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            ok, group.keep = False, True
        except asyncio.CancelledError:
            return TERMINATED
        else:
            group.keep = not ok
        if group.keep:
            display.show_logs(group)
    if as_json:
        print_json({"ok": ok, "acts": display.scenarios})
    return 0 if ok else 1


async def play_acts(
    acts: Sequence[tuple[str, Callable[[A], Awaitable[None]]]], make: Callable[[str], A], display: Display
) -> list[A]:
    """Play the acts, each made by its title, up to the first in which something was not observed."""
    played: list[A] = []
    for title, play in acts:
        act = make(title)
        played.append(act)
        display.begin(f"act {len(played)} of {len(acts)}: {title}")
        try:
            await play(act)
        except NotObserved as error:
            act.check(str(error), False)
        if not act.ok:
            break
    return played


async def _until_signal(work: Coroutine[Any, Any, bool]) -> bool:
    task = asyncio.current_task()
    assert task is not None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    return await work
