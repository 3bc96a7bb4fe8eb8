"""Two real controllers, and an etcd of three members that loses its majority and finds it again."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.controllers.conftest import TTL
from tests.support.controller import ControllerProcess
from tests.support.etcd import etcd_cluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.requires("etcd"), pytest.mark.timeout(300)]

LATEST = 8.0
"""Seconds until a freeze that cannot be made durable is answered: 6.5, and something for a slow machine."""


async def freeze(asked: ControllerProcess, reason: str) -> tuple[int, dict[str, Any]]:
    """Freeze everything through that controller: the status and the answer."""
    body = {"service": None, "reason": reason, "ttl": None}
    async with aiohttp.ClientSession() as http, http.post(f"http://{asked.http}/freeze", json=body) as response:
        return response.status, await response.json()


async def frozen(asked: ControllerProcess) -> list[str]:
    """The reasons of the freezes in force, as that controller has them."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{asked.http}/freeze") as response:
        body = await response.json()
    return sorted(each["reason"] for each in body)


async def ready(asked: ControllerProcess) -> bool:
    """Whether it says that it can be relied on."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{asked.http}/readyz") as response:
        return response.status == 200


@pytest.mark.proves("fault 9")
async def test_a_freeze_is_durable_or_refused(processes: Children, tmp_path: Path) -> None:
    """Through the follower, 200 once a majority has it, also after all members were killed; 503 while there is none,
    and again 200 once it is back, with one freeze in force."""
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[etcd]\nttl = {TTL}\n")
    with etcd_cluster(tmp_path / "etcd", 3) as cluster:

        def controller(name: str) -> ControllerProcess:
            own = {
                "HALDANE_STORE": f"etcd:{','.join(cluster.endpoints)}",
                "HALDANE_CONFIG": str(settings),
                "HALDANE_NAME": name,
                "HALDANE_ADMIN_SOCKET": "none",
                "HALDANE_HTTP_SOCKET": "none",
                "XDG_STATE_HOME": str(tmp_path / name),
            }
            return ControllerProcess(processes, own, name=name)

        leader, follower = controller("one"), controller("two")
        await leader.start(60)
        await follower.start(60)
        taken = []
        for number in range(50):
            begun = time.perf_counter()
            assert (await freeze(follower, f"incident {number}"))[0] == 200
            taken.append(time.perf_counter() - begun)
        assert sorted(taken)[-2] < 1.0
        every = sorted(f"incident {number}" for number in range(50))
        await wait_until(lambda: _same(frozen(leader), every))

        for member in cluster.members:
            member.kill()
        for member in cluster.members:
            cluster.start(member)
        await wait_until(lambda: ready(follower))
        assert await frozen(follower) == every

        for member in cluster.members[:2]:
            member.send(signal.SIGSTOP)
        begun = time.monotonic()
        status, answer = await freeze(follower, "late")
        assert time.monotonic() - begun < LATEST
        assert (status, answer["error"]) == (503, "NOT_DURABLE")
        await wait_until(lambda: _same(_readiness(leader, follower), [False, False]))
        for member in cluster.members[:2]:
            member.send(signal.SIGCONT)
        await wait_until(lambda: _same(_readiness(leader, follower), [True, True]))
        assert (await freeze(follower, "late"))[0] == 200
        await wait_until(lambda: _same(frozen(leader), sorted([*every, "late"])))


async def _readiness(*controllers: ControllerProcess) -> list[bool]:
    return [await ready(each) for each in controllers]


async def _same(work: Any, wanted: object) -> bool:
    return bool(await asyncio.ensure_future(work) == wanted)
