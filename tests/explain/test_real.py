"""A rollout on a real Envoy, explained and judged again after the fact, by the commands as people run them."""

from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.integration.world import SERVICE, World, world
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  bake: 1s
"""


async def metrics(at: World) -> dict[str, float]:
    """haldane_evidence by channel."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{at.controller.http}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    series = [line.rpartition(" ") for line in lines if line.startswith("haldane_evidence{")]
    return {name.split('channel="')[1].split('"')[0]: float(value) for name, _, value in series}


async def test_a_rollback_can_be_explained_afterwards(processes: Children) -> None:
    """The channel that decided, its evidence over time and the numbers at the decision; also after kill -9."""
    async with world(processes, policy=POLICY) as at, steady(at.entry, 100, timeout=5.0) as load:
        await at.start()
        await at.reach("PROGRESSING")
        since = len(load.answers)
        await wait_until(lambda: len(load.answers) > since + 200)
        during = await at.haldane("explain", SERVICE, "-o", "json")
        at.models["v2"].behaviour = Behaviour(errors=0.3)
        await at.reach("ROLLED_BACK", 10.0)
        told = (await at.haldane("explain", SERVICE, "-o", "json")).document
        text = await at.haldane("explain", SERVICE)
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
        assert set(await metrics(at)) == {reason["channel"] for reason in told["channels"]} > {"5xx", "latency_p99"}
        at.controller.kill()
        await at.controller.start()
        again = (await at.haldane("explain", SERVICE, "-o", "json")).document
        assert (again["decided"], again["history"]) == ("5xx", told["history"])


async def test_a_real_rollout_can_be_judged_again(processes: Children, tmp_path: Path) -> None:
    """By its own policy it is taken back at the same moment; by a wider one it is not."""
    async with world(processes, policy=POLICY) as at, steady(at.entry, 100, timeout=5.0) as load:
        await at.start()
        await at.reach("PROGRESSING")
        since = len(load.answers)
        await wait_until(lambda: len(load.answers) > since + 300)
        at.models["v2"].behaviour = Behaviour(errors=0.3)
        await at.reach("ROLLED_BACK", 10.0)
        line = next(event for event in await at.events() if event.kind == "rollback")
        same, wide = tmp_path / "same.yaml", tmp_path / "wide.yaml"
        same.write_text(at.file())
        wide.write_text(at.file() + "  errors: {margin: 50%}\n")
        again = (await at.haldane("backtest", "--from", str(line.sequence), "-f", str(same), "-o", "json")).document
        assert (again["fired"], again["channel"]) == (True, "5xx")
        assert abs(again["fired_at"] - line.at) < 1.0
        calm = await at.haldane("backtest", "--from", str(line.sequence), "-f", str(wide))
        assert (calm.code, calm.err) == (0, "")
        assert "it would not have fired" in calm.out
        assert "really: rollback" in calm.out
