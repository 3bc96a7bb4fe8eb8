"""The whole: a canary that answers well and wrongly, on a real Envoy; only the labels in Prometheus tell."""

from pathlib import Path

import pytest
from aiohttp import web

from controller.demo.harness.child_processes import Children
from tests.prometheus.prometheus_server import SETTINGS, serving, vector
from tests.support.load import steady
from tests.support.system import SERVICE, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 1s
  warmup: 1s
  bake: 1s
  metrics: [{name: accuracy, margin: 2%}]
"""


class Labels:
    """Late labels: at each reading 20 more answers of each version are labelled; v2 had 10 of them wrong, v1 one."""

    def __init__(self) -> None:
        self.there = False
        self.times: list[str] = []
        """Of the readings so far; all queries of one reading ask for one time."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As Prometheus would."""
        query, time = request.query["query"], request.query["time"]
        assert f'service="{SERVICE}"' in query
        if not self.there:
            return vector(at=float(time))
        if time not in self.times:
            self.times.append(time)
        each = 20 if "labelled_total" in query else 10 if 'version="v2"' in query else 1
        return vector(str(each * self.times.index(time)), at=float(time))


async def test_wrong_answers_take_a_canary_back(processes: Children, tmp_path: Path) -> None:
    """Unknown, it holds and says why; shown to be wrong, it is rolled back, and the ledger names the metric."""
    labels = Labels()
    async with serving(labels.answer) as address:
        settings = tmp_path / "haldane.toml"
        settings.write_text(SETTINGS.format(address=address))
        async with (
            running_system(processes, policy=POLICY, settings={"HALDANE_CONFIG": str(settings)}) as system,
            steady(system.entry, 100),
        ):
            await system.start()
            await system.reach("PROGRESSING")

            async def unknown() -> bool:
                told = await system.rollout()
                return any("accuracy is unknown: of v2: there is no such series" in r for r in told.reasons)

            await wait_until(unknown, 15.0)
            labels.there = True
            told = await system.reach("ROLLED_BACK", 40.0)
            assert "accuracy" in told.phase_reason
            assert dict(told.weights) == {"v1": 10_000, "v2": 0}
