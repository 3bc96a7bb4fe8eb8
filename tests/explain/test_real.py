"""A rollout on a real Envoy, explained and judged again after the fact, by the commands as people run them."""

from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  bake: 1s
"""


async def metrics(system: System) -> dict[str, float]:
    """haldane_evidence by channel."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{system.controller.http}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    series = [line.rpartition(" ") for line in lines if line.startswith("haldane_evidence{")]
    return {name.split('channel="')[1].split('"')[0]: float(value) for name, _, value in series}


async def test_a_rollback_can_be_explained_afterwards(processes: Children) -> None:
    """The channel that decided, its evidence over time and the numbers at the decision; also after kill -9."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100, timeout=5.0) as load:
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 200)
        during = await system.haldane("explain", SERVICE, "-o", "json")
        system.models["v2"].behaviour = Behaviour(errors=0.3)
        await system.reach("ROLLED_BACK", 10.0)
        told = (await system.haldane("explain", SERVICE, "-o", "json")).document
        text = await system.haldane("explain", SERVICE)
        assert during.document["decided"] == ""
        assert len(during.document["history"]) > 1
        assert (text.code, told["decided"], told["missing"]) == (0, "5xx", "")
        five = next(reason for reason in told["channels"] if reason["channel"] == "5xx")
        assert told["history"][-1]["total"] >= told["limit"] == 100
        assert told["history"][-1]["harm"]["5xx"] > 100 * during.document["history"][-1]["harm"]["5xx"]
        assert five["canary_n"] > 0
        assert "canary" in five["text"]
        assert [event["kind"] for event in told["decisions"]] == [
            "rollout_started",
            "rollout_warm",
            "rollback",
            "rolled_back",
        ]
        assert told["decisions"][2]["details"]["reasons"][0]["channel"] == "5xx"
        assert "5xx" in text.out
        assert "decided" in text.out
        assert set(await metrics(system)) == {reason["channel"] for reason in told["channels"]} > {"5xx", "latency_p99"}
        system.controller.kill()
        await system.controller.start()
        again = (await system.haldane("explain", SERVICE, "-o", "json")).document
        assert (again["decided"], again["history"]) == ("5xx", told["history"])


async def test_a_real_rollout_can_be_judged_again(processes: Children, tmp_path: Path) -> None:
    """By its own policy it is rolled back at the same moment; by a wider one it is not."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100, timeout=5.0) as load:
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 300)
        system.models["v2"].behaviour = Behaviour(errors=0.3)
        await system.reach("ROLLED_BACK", 10.0)
        line = next(event for event in await system.events() if event.kind == "rollback")
        same, wide = tmp_path / "same.yaml", tmp_path / "wide.yaml"
        same.write_text(system.file())
        wide.write_text(system.file() + "  errors: {margin: 50%}\n")
        again = (await system.haldane("backtest", "--from", str(line.sequence), "-f", str(same), "-o", "json")).document
        assert (again["fired"], again["channel"]) == (True, "5xx")
        assert abs(again["fired_at"] - line.at) < 1.0
        calm = await system.haldane("backtest", "--from", str(line.sequence), "-f", str(wide))
        assert (calm.code, calm.err) == (0, "")
        assert "it would not have fired" in calm.out
        assert "really: rollback" in calm.out
