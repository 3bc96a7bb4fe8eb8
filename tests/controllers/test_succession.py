"""What is done once, by the one that decides: notifications and hooks, across the leader's death."""

import json
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.builders import service_file
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, until
from tests.notify.receivers import Receiver, receiving
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd")]


async def freeze(asked: ControllerProcess, service: str, reason: str) -> None:
    """Freeze a service, at that controller."""
    async with asked.stubs() as stubs:
        request = pb.FreezeRequest(services=[service], reason=reason)
        await stubs.killswitch.Freeze(request, wait_for_ready=True)


def taken(receiver: Receiver, since: int = 0) -> Counter[str]:
    """How often each line of a freeze came, by its reason."""
    bodies = [json.loads(posted.body) for posted in receiver.posted[since:]]
    told = [body["data"]["why"] if "data" in body else body["metadata"]["eventMessage"] for body in bodies]
    return Counter(why for why in told if why.startswith("incident"))


async def test_each_line_is_sent_once_whoever_leads(controller: Make, tmp_path: Path) -> None:
    """By the leader, also of what was done through a follower; what it could not deliver before it was killed comes
    from its successor, and what it delivered does not come again."""
    async with receiving() as program, receiving() as hook:
        with (tmp_path / "settings.toml").open("a") as settings:
            settings.write(f'[notify.audit]\nurl = "{program.url}"\n')
            settings.write(f'[hooks.watcher]\nurl = "{hook.url}"\ntypes = ["event"]\n')
        first, second = controller("one"), controller("two")
        await first.start()
        await until(first, lambda every: leaders(every) == ["one"])
        await second.start()
        async with second.stubs() as stubs:
            text = service_file("scorer", policy="  hooks: [watcher]\n")
            await stubs.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text, reason="test"), wait_for_ready=True)
        await freeze(second, "scorer", "incident 1")
        once = {"incident 1": 1}
        await wait_until(lambda: taken(program) == once and taken(hook) == once)
        await wait_until(lambda: _delivered(first, 2))
        program.does = hook.does = 503
        await freeze(second, "scorer", "incident 2")
        await wait_until(lambda: taken(program)["incident 2"] and taken(hook)["incident 2"])
        first.kill()
        refused = len(program.posted), len(hook.posted)
        program.does = hook.does = 200
        await until(second, lambda every: leaders(every) == ["two"])
        await freeze(second, "scorer", "incident 3")
        rest = {"incident 2": 1, "incident 3": 1}
        await wait_until(lambda: taken(program, refused[0]) == rest and taken(hook, refused[1]) == rest)
        await first.start()
        await freeze(first, "scorer", "incident 4")
        rest["incident 4"] = 1
        await wait_until(lambda: taken(program, refused[0]) == rest and taken(hook, refused[1]) == rest)


async def _delivered(controller: ControllerProcess, targets: int) -> bool:
    """Whether that many targets have taken something, and how far they came is saved."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{controller.http}/metrics") as answer:
        text = await answer.text()
    counted = [line for line in text.splitlines() if line.startswith("haldane_notifications_total")]
    return sum('outcome="delivered"' in line for line in counted) >= targets
