"""`haldane serve` with a settings file: people and programs are told, across a kill, and it ends while they hang."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.notify.receivers import Receiver, receiving
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until


@pytest.fixture
def controller(processes: Children, tmp_path: Path) -> Callable[[Receiver, Receiver], ControllerProcess]:
    """A controller whose settings name a program and people, each at one receiver."""

    def make(program: Receiver, people: Receiver) -> ControllerProcess:
        (tmp_path / "addresses").write_text(f"json://127.0.0.1:{people.port}/take")
        (tmp_path / "haldane.toml").write_text(
            f"""
            [notify.audit]
            url = "{program.url}"
            timeout = "60s"
            [notify.on-call]
            apprise_file = "{tmp_path}/addresses"
            """
        )
        return ControllerProcess(processes, {"HALDANE_CONFIG": str(tmp_path / "haldane.toml")})

    return make


async def freeze(controller: ControllerProcess, reason: str) -> None:
    """Freeze everything, as curl does."""
    body = {"service": None, "reason": reason}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{controller.http}/freeze", json=body) as answer,
    ):
        assert answer.status == 200


async def figures(controller: ControllerProcess) -> str:
    """What /metrics says."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{controller.http}/metrics") as answer:
        return await answer.text()


def reasons(receiver: Receiver) -> list[str]:
    """Why things happened, as a program was told."""
    return [json.loads(posted.body)["data"]["why"] for posted in receiver.posted]


async def test_everybody_is_told_also_of_what_happened_before_a_kill(
    controller: Callable[[Receiver, Receiver], ControllerProcess],
) -> None:
    """A freeze is told to a program and to people; one that was set while the program was away is told to it after
    kill -9 and a restart, with the id that it had before."""
    async with receiving() as program, receiving() as people:
        served = controller(program, people)
        await served.start()
        await freeze(served, "incident 42")
        await wait_until(lambda: program.posted and people.posted)
        assert json.loads(people.posted[0].body)["title"] == "WARNING: freeze_set all services"
        await wait_until(lambda: _counted(served, "notify.audit"))
        program.does = 503
        await freeze(served, "incident 43")
        await wait_until(lambda: len(program.posted) >= 2 and len(people.posted) >= 2)
        served.kill()
        await served.start()  # by then also what was under way at the kill is refused
        program.does, refused = 200, len(program.posted)
        await wait_until(lambda: _counted(served, "notify.audit"))
        assert len(program.posted) == refused + 1
        assert reasons(program) == ["incident 42"] + ["incident 43"] * refused
        assert len({json.loads(posted.body)["id"] for posted in program.posted}) == 2


async def test_receivers_that_hang_do_not_hold_up_the_end(
    controller: Callable[[Receiver, Receiver], ControllerProcess],
) -> None:
    """SIGTERM ends the controller in its drain time, whoever is being told."""
    async with receiving("hang") as program, receiving("hang") as people:
        served = controller(program, people)
        await served.start()
        await freeze(served, "incident 42")
        await wait_until(lambda: program.posted and people.posted)
        assert await asyncio.to_thread(served.stop) == 0


async def _counted(served: ControllerProcess, target: str) -> bool:
    line = f'haldane_notifications_total{{outcome="delivered",target="{target}"}} 1.0'
    return line in await figures(served)
