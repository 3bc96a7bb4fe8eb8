"""`haldane serve --apply-from`: the whole way once, through a kill of the controller."""

import json
from pathlib import Path

import aiohttp

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.builders import service_file
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.waiting import wait_until

QUICK = "  steps: [50%]\n  dwell: 1s\n  warmup: 0s\n  bake: 0s\n"


async def test_a_folder_is_applied_and_its_canary_started_once(processes: Children, tmp_path: Path) -> None:
    """A good file is served and its canary starts; a bad one is refused with its reason in `list`, metrics and log; a
    rollback is the last word, also after kill -9."""
    folder = tmp_path / "services"
    folder.mkdir()
    (folder / "scorer.yaml").write_text(service_file(more="rollout: {canary: v2}\n", policy=QUICK))
    (folder / "bad.yaml").write_text(service_file("bad", 10001) + "colour: red\n")
    controller = ControllerProcess(processes, {"HALDANE_APPLY_FROM": str(folder)})
    await controller.start()
    async with controller.stubs() as stubs:

        async def lines(kind: str) -> list[admin.Event]:
            told = await stubs.ledger.ListEvents(admin.ListEventsRequest(), wait_for_ready=True)
            return [event for event in told.events if event.kind == kind]

        started = await wait_until(lambda: lines("rollout_started"))
        assert [(event.who, event.verified_by) for event in started] == [("apply-from:scorer.yaml", "file")]
        listed = await wait_until(lambda: files(stubs))
        assert listed.keys() == {"bad.yaml"}
        assert "colour: unknown key" in listed["bad.yaml"]
        assert 'haldane_apply_from_problem{file="bad.yaml",kind="refused"' in await metrics(controller)
        logged = [json.loads(line) for line in controller.child.tail(50).splitlines() if '"file_problem"' in line]
        assert [(line["file"], line["kind"]) for line in logged] == [("bad.yaml", "refused")]

        await stubs.rollouts.Rollback(admin.RollbackRequest(service="scorer", reason="test", force=True))
        controller.kill()
        (folder / "bad.yaml").write_text(service_file("good", 10001))
        await controller.start()
        await wait_until(lambda: applied(stubs, "good"))
        assert len(await lines("rollout_started")) == 1
        assert not await files(stubs)


async def files(stubs: AdminStubs) -> dict[str, str]:
    """What `list` says of the files."""
    listed = await stubs.catalog.ListServices(admin.ListServicesRequest(), wait_for_ready=True)
    return dict(listed.files)


async def applied(stubs: AdminStubs, name: str) -> bool:
    """Whether there is such a service."""
    listed = await stubs.catalog.ListServices(admin.ListServicesRequest(), wait_for_ready=True)
    return name in [service.name for service in listed.services]


async def metrics(controller: ControllerProcess) -> str:
    """All of /metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{controller.http}/metrics") as answer:
        return await answer.text()
