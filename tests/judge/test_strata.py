"""Proxies that serve different splits are compared apart: no mixture of splits fakes or hides a difference."""

import json
import random
from pathlib import Path

import pytest

from controller.core.model.rollout import Phase
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample, Stratum, Window, added_up
from controller.simulation.report_lines import BadReport, read_report
from controller.simulation.simulated_version import Server, SimulatedVersion
from controller.simulation.trial import Trial
from tests.judge.driving import service_for

GOOD, BAD = 0.002, 0.06
"""Error rates of two zones with different mixes of requests."""
SIDE = {"started": 10, "ok": 9, "errors": {"5xx": 1}}


class TwoZones:
    """A proxy that still gives stable everything, where inputs are good, and one that serves the split, where they
    are worse."""

    def __init__(self, seed: int, *, apart: bool, harm: float = 0.0) -> None:
        self.trial = Trial(service_for(Policy()))
        self._apart, self._harm, self._rng = apart, harm, random.Random(seed)
        self._versions = {
            (zone, version): SimulatedVersion(self._rng) for zone in ("a", "b") for version in ("stable", "canary")
        }

    def rolled_back(self, seconds: int) -> bool:
        """Whether the canary is rolled back within so many seconds."""
        for second in range(1, seconds + 1):
            strata = (self._zone("a", GOOD, 0.0, second), self._zone("b", BAD, self._weight, second))
            if not self._apart:
                strata = (Stratum("", added_up(s.stable for s in strata), added_up(s.canary for s in strata)),)
            self.trial.tick_strata(float(second), strata)
            if self.trial.rollout.phase is Phase.ROLLING_BACK:
                return True
        return False

    @property
    def _weight(self) -> float:
        return self.trial.rollout.weight / 10_000

    def _zone(self, zone: str, errors: float, share: float, second: int) -> Stratum:
        canary_n = sum(self._rng.random() < share for _ in range(50))
        stable = self._versions[zone, "stable"].serve(Server(errors=errors), 50 - canary_n, float(second))
        broken = Server(errors=errors + self._harm)
        return Stratum(zone, stable, self._versions[zone, "canary"].serve(broken, canary_n, float(second)))


def test_a_lagging_proxy_with_another_mix_is_no_difference_of_the_canary() -> None:
    """Added up, every canary is rolled back though it is as good as stable at each proxy; told apart, none is."""
    assert all(TwoZones(seed, apart=False).rolled_back(600) for seed in range(3))
    assert not any(TwoZones(seed, apart=True).rolled_back(600) for seed in range(3))


def test_told_apart_a_bad_canary_is_still_found() -> None:
    """Five percentage points more errors, judged by half of the traffic."""
    assert all(TwoZones(seed, apart=True, harm=0.05).rolled_back(600) for seed in range(3))


def test_one_stratum_is_everything() -> None:
    """Told apart or not, the same traffic gives the same verdicts."""
    plain, stratified = Trial(service_for(Policy())), Trial(service_for(Policy()))
    rng = random.Random(4)
    versions = SimulatedVersion(rng), SimulatedVersion(rng)
    for second in range(1, 150):
        stable, canary = (v.serve(Server(), n, float(second)) for v, n in zip(versions, (95, 5), strict=True))
        one = plain.tick(float(second), stable, canary)
        assert stratified.tick_strata(float(second), (Stratum("edge", stable, canary),)) == one


def test_samples_add_up() -> None:
    """What is reported by one group alone stands for itself; nothing is nothing."""
    left = Sample(3, 2, {"5xx": 1}, ((5.0, 2), (9.0, 1)), (5.0, 9.0), in_progress=1, cancelled=2)
    right = Sample(2, 2, {"4xx": 1}, ((5.0, 1),), (5.0, 9.0), in_progress=4)
    both = Sample(5, 4, {"5xx": 1, "4xx": 1}, ((5.0, 3), (9.0, 1)), (5.0, 9.0), in_progress=5, cancelled=2)
    assert added_up([left, None, right]) == both
    assert added_up([left, None]) is left
    assert added_up([None]) is None
    window = Window.of_strata(1.0, 500, (Stratum("a", left, None), Stratum("b", right, None)))
    assert (window.stable, window.canary, len(window.groups)) == (both, None, 2)


def test_the_filter_takes_strata() -> None:
    """In place of the two sides; each with a name of its own."""
    line = {"t": 1.0, "strata": [{"name": "edge-1", "stable": SIDE, "canary": None}]}
    (stratum,) = read_report(json.dumps(line).encode()).strata
    assert (stratum.name, stratum.stable and stratum.stable.answered, stratum.canary) == ("edge-1", 10, None)


@pytest.mark.parametrize(
    ("strata", "field"),
    [
        ([], "strata"),
        ("edge", "strata"),
        ([{"name": f"edge-{i}", "stable": None, "canary": None} for i in range(65)], "strata"),
        ([7], "strata[0]"),
        ([{"name": "edge", "stable": None}], "strata[0].canary"),
        ([{"name": "", "stable": None, "canary": None}], "strata[0].name"),
        ([{"name": "edge", "stable": None, "canary": None}] * 2, "strata[1].name"),
        ([{"name": "edge", "stable": {"started": 1, "ok": -1}, "canary": None}], "strata[0].stable.ok"),
    ],
)
def test_bad_strata_are_named(strata: object, field: str) -> None:
    """The field, as in every other bad report."""
    with pytest.raises(BadReport) as bad:
        read_report(json.dumps({"t": 1.0, "strata": strata}).encode())
    assert bad.value.field == field


def test_strata_stand_in_place_of_the_sides() -> None:
    """Both would be counted twice."""
    line = {"t": 1.0, "stable": SIDE, "canary": SIDE, "strata": [{"name": "edge", "stable": SIDE, "canary": SIDE}]}
    with pytest.raises(BadReport, match="in place of"):
        read_report(json.dumps(line).encode())


def test_the_documentation_of_the_filter_names_them() -> None:
    """docs/cli.md says what a line holds."""
    assert "strata" in (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
