"""Service files and endpoints from files, by several controllers, each of which has folders of its own."""

from pathlib import Path

import aiohttp
import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.builders import service_file
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, until
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.timeout(300)]

SERVICE = "scorer"


def put(folder: Path, text: str) -> None:
    """That text is the service file in the folder, replaced at once."""
    new = folder / "scorer.new"
    new.write_text(text)
    new.replace(folder / "scorer.yaml")


async def applied(asked: ControllerProcess) -> list[str]:
    """Who has applied the service, each time."""
    async with asked.stubs() as stubs:
        told = await stubs.ledger.ListEvents(pb.ListEventsRequest(service=SERVICE), wait_for_ready=True)
    return [event.who for event in told.events if event.kind == "service_applied"]


async def service(asked: ControllerProcess) -> pb.Service:
    """The service, as that controller shows it."""
    async with asked.stubs() as stubs:
        told: pb.Service = await stubs.catalog.GetService(pb.GetServiceRequest(service=SERVICE), wait_for_ready=True)
    return told


async def exposed(asked: ControllerProcess, start: str) -> bool:
    """Whether /metrics of that controller has a series that begins so."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{asked.http}/metrics") as answer:
        return any(line.startswith(start) for line in (await answer.text()).splitlines())


async def test_folders_that_differ_for_a_while_are_applied_once(controller: Make, tmp_path: Path) -> None:
    """Through a change that comes to one before the other, the death of who has it, and a change that is put back.

    The endpoints are each controller's own: one that starts while their file is away has those of its last run.
    """
    endpoints = tmp_path / "v1.yaml"
    endpoints.write_text("[127.0.0.1:9001]")
    base = service_file(SERVICE).replace('endpoints: ["127.0.0.1:9001"]', f"endpoints_file: {endpoints}", 1)
    assert "endpoints_file" in base
    old, new = base, f"{base}timeout: 3s\n"
    folders = {name: tmp_path / name for name in ("one", "two")}
    first, second = (controller(name) for name in folders)
    for each in (first, second):
        folder = folders[each.environment["HALDANE_NAME"]]
        folder.mkdir()
        put(folder, old)
        each.environment["HALDANE_APPLY_FROM"] = str(folder)
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    await wait_until(lambda: _has_read(second))
    put(folders["one"], new)
    await wait_until(lambda: _applied_times(second, 2))

    endpoints.unlink()
    first.kill()
    await until(second, lambda every: leaders(every) == ["two"])
    await wait_until(lambda: exposed(second, 'haldane_apply_from_problem{file="scorer.yaml",kind="lags"'))
    assert (await service(second)).sources["v1"].problem  # it has read it itself, and reads on
    await first.start()
    source = (await service(first)).sources["v1"]
    assert (source.endpoints, source.last_known > 0) == (1, True)
    put(folders["two"], new)
    await wait_until(lambda: _no_problem(second))
    assert await applied(second) == ["apply-from:scorer.yaml"] * 2
    put(folders["two"], old)
    await wait_until(lambda: _applied_times(first, 3))
    assert "timeout" not in (await service(first)).yaml


async def _has_read(asked: ControllerProcess) -> bool:
    async with asked.stubs() as stubs:
        told = await stubs.catalog.ListServices(pb.ListServicesRequest(), wait_for_ready=True)
    return any(source.endpoints for each in told.services for source in each.sources.values())


async def _applied_times(asked: ControllerProcess, times: int) -> bool:
    return len(await applied(asked)) == times


async def _no_problem(asked: ControllerProcess) -> bool:
    return not await exposed(asked, "haldane_apply_from_problem{")
