"""Versions whose endpoints come from files: a real controller, a real Envoy, and not one failed request."""

from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import answers, wait_until

pytestmark = pytest.mark.envoy

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "endpoint-files.yaml"


def write(path: Path, *servers: ModelServer) -> None:
    """These servers are the endpoints in the file, which is replaced at once."""
    new = path.with_suffix(".new")
    new.write_text("endpoints:\n" + "".join(f"- {server.address}\n" for server in servers) if servers else "[]\n")
    new.replace(path)


async def metric(system: System, line: str) -> bool:
    """Whether /metrics has this line."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{system.controller.http}/metrics") as answer:
        return line in (await answer.text()).splitlines()


async def source(system: System, version: str) -> admin.EndpointSource:
    """What the controller says of the version's source."""
    shown = await system.stubs.catalog.GetService(admin.GetServiceRequest(service=SERVICE), wait_for_ready=True)
    return shown.sources[version]


async def test_endpoints_follow_their_files(processes: Children, tmp_path: Path) -> None:
    """Under load: servers come and go, the file is cut in half and the controller killed, a canary waits for its first
    server, two versions share one, and only a version without any is in the ledger."""
    one, two = ModelServer("v1"), ModelServer("v1")
    for server in (one, two):
        await server.start()
    files = {version: tmp_path / f"{version}.yaml" for version in ("v1", "v2")}
    write(files["v1"], one)
    write(files["v2"])
    try:
        async with running_system(processes) as system:
            async with steady(system.entry, 100) as load:
                quick = (
                    "steps: [50%]\n  dwell: 1s\n  warmup: 0s\n  bake: 0s\n  deadline: 1s\n  on_insufficient: advance"
                )
                text = (
                    EXAMPLE.read_text().replace("/etc/haldane/endpoints", str(tmp_path)).replace("translator", SERVICE)
                )
                text = text.replace("10000", str(system.entry)).replace("steps: [5%, 25%, 50%]", quick)
                await system.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=text, reason="test"))
                await wait_until(lambda: one.seen > 20)
                write(files["v1"], two)  # a rolling update: the old server ends once it gets nothing more
                await wait_until(lambda: two.seen > 20)
                await one.crash()

                # Half a file is no file, and neither is the kill of the controller.
                files["v1"].write_text("endpoints:\n- 10.0.0.1:9")
                said = await wait_until(lambda: problem(system))
                assert (said.endpoints, said.text) == (
                    1,
                    f"v1 has the 1 endpoint that were read last: file {files['v1']}: "
                    "the file ends within a line: it is half written",
                )
                assert await metric(system, f'haldane_source_up{{service="{SERVICE}",version="v1"}} 0.0')
                listed = await system.haldane("list")
                assert "it is half written" in listed.out + listed.err
                system.controller.kill()
                await system.controller.start()
                await wait_until(system.in_sync)
                shown = await source(system, "v1")
                assert (shown.read, shown.endpoints) == (True, 1)
                assert "1 endpoint that were known before the restart" in shown.text
                assert "from before the restart" in (await system.haldane("get", SERVICE)).out
                assert "before the restart" in (await system.haldane("list")).err
                seen = two.seen
                await wait_until(lambda: two.seen > seen + 20)
                write(files["v1"], two)
                await wait_until(lambda: metric(system, f'haldane_source_up{{service="{SERVICE}",version="v1"}} 1.0'))

                # A canary without a server waits for one; with stable's own it is not compared.
                await system.start()
                told = await wait_until(lambda: blocked_by(system, "no_healthy_upstream"))
                assert (told.phase, told.weights["v2"]) == ("WARMING", 0)
                write(files["v2"], two)
                await wait_until(lambda: blocked_by(system, "shared_endpoint"))
                write(files["v2"], system.models["v2"])
                await system.reach("PROMOTED")
                write(files["v1"])
                await wait_until(
                    lambda: metric(system, f'haldane_source_endpoints{{service="{SERVICE}",version="v1"}} 0.0')
                )
                assert await wait_until(lambda: lines(system, 2)) == [
                    f"v2 has endpoints again: file {files['v2']}",
                    f"v1 has no endpoint: file {files['v1']}",
                ]
                shown_lines = (await system.haldane("get", SERVICE)).out.splitlines()
                assert f"source:   v2: file {files['v2']}, 1 endpoint" in shown_lines
            assert not [answer for answer in load.results if not answer.ok]

            # The controller and Envoy start with nothing, while the file is away: what was known last is served.
            files["v2"].unlink()
            for each in (system.controller, system.envoy):
                each.kill()
                await each.start()
            await wait_until(lambda: answers(f"http://127.0.0.1:{system.entry}/"))
            assert (await source(system, "v2")).last_known
    finally:
        await two.crash()


async def problem(system: System) -> admin.EndpointSource | None:
    """What is said of the source of v1 once it has a problem."""
    said = await source(system, "v1")
    return said if said.problem else None


async def blocked_by(system: System, kind: str) -> admin.Rollout | None:
    """The rollout, if that blocks it."""
    told = await system.rollout()
    return told if told.blocker.kind == kind else None


async def lines(system: System, number: int) -> list[str]:
    """What the ledger says of versions without endpoints, once it has so many lines."""
    found = [event.why for event in await system.events() if event.kind.startswith("endpoints_")]
    return found if len(found) >= number else []
