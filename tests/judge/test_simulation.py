"""The simulator: honest dice, the same rollouts for the same seed, and each named canary ends as it must."""

import json
import random
from pathlib import Path
from statistics import fmean, pvariance

import pytest

from controller.__main__ import main
from controller.core.model.service import LatencyPolicy, Policy
from controller.simulation.play import PlayedRollout, Setting, play, play_often
from controller.simulation.plot import bars
from controller.simulation.scenario import Moment, Scenario
from controller.simulation.scenarios import SCENARIOS, slower
from controller.simulation.simulated_version import TIMEOUT, Server, SimulatedVersion, binomial, poisson
from controller.simulation.summary import mean_bad_responses, summarize
from tests.judge.driving import service_for

SERVICE = service_for(Policy())
SOON = {"outage": 10, "hang": 30, "errors-20": 60, "two-modes": 150, "client-errors": 200}
"""Bad canaries that are found soon, and the requests within which they must be."""


def test_the_dice_are_honest() -> None:
    """Binomial and Poisson numbers have their mean and variance, small and large, one by one and by splitting."""
    rng = random.Random(1)
    for n, p in ((5, 0.3), (64, 0.5), (1000, 0.002), (5000, 0.4), (100_000, 0.0001)):
        drawn = [binomial(rng, n, p) for _ in range(1500)]
        sd = (n * p * (1 - p)) ** 0.5
        assert abs(fmean(drawn) - n * p) < 4 * sd / 1500**0.5
        assert 0.8 < pvariance(drawn) / sd**2 < 1.25
    for mean in (0.3, 20.0, 700.0, 3000.0):
        drawn = [poisson(rng, mean) for _ in range(1500)]
        assert abs(fmean(drawn) - mean) < 4 * (mean / 1500) ** 0.5
        assert 0.8 < pvariance(drawn) / mean < 1.25


@pytest.mark.parametrize("n", [300, 3000])
def test_servers_do_what_is_said_of_them(n: int) -> None:
    """Errors, client errors, latency and hanging requests come in their shares; what hangs times out in the end."""
    server = Server(errors=0.1, client_errors=0.05, median=20.0, sigma=0.5, hang=0.2)
    side = SimulatedVersion(random.Random(2))
    samples = [side.serve(server, n, float(t)) for t in range(40)]
    early = samples[: int(TIMEOUT)]
    started, answered = sum(s.started for s in early), sum(s.answered for s in early)
    assert answered / started == pytest.approx(0.8, abs=0.02)
    assert sum(s.errors["5xx"] for s in early) / answered == pytest.approx(0.1, abs=0.02)
    assert sum(s.errors["4xx"] for s in early) / answered == pytest.approx(0.05, abs=0.02)
    below = sum(count for s in early for edge, count in s.latency if edge <= 20.0)
    assert below / answered == pytest.approx(0.5, abs=0.03)
    assert sum(s.errors["5xx"] for s in samples[-5:]) > 2 * sum(s.errors["5xx"] for s in early[:5])


def test_the_same_seed_gives_the_same_rollouts() -> None:
    """A figure can be reproduced by its command."""
    setting = Setting(duration=120)
    first, second = (list(play_often(SERVICE, SCENARIOS["errors-20"], setting, 3, seed=5)) for _ in range(2))
    assert first == second
    assert len({one.requests for one in first}) > 1


@pytest.mark.parametrize("name", SOON)
def test_bad_canaries_are_rolled_back_soon(name: str) -> None:
    """From the fault's onset after the warm-up, held at the default policy's first step, at 100 requests a second."""
    held = service_for(Policy(steps=(500,), dwell=1e4))
    played = list(play_often(held, SCENARIOS[name], Setting(duration=240, onset=61), 3, seed=1))
    assert all(one.rolled_back for one in played)
    assert fmean(one.requests for one in played) <= 2 * SOON[name]


def test_a_good_canary_is_promoted_within_260_seconds() -> None:
    """The default policy with its dwells of a minute: four steps, the promotion, nothing held against it."""
    played = play(SERVICE, SCENARIOS["healthy"], Setting(duration=300), seed=1)
    assert played.promoted
    assert played.at is not None
    assert played.at <= 260
    assert [weight for _, weight in played.moves] == [500, 1000, 2500, 5000, 9500]


STREAMING = service_for(Policy(latency=LatencyPolicy(tolerance=None, ttft_tolerance=0.1)))


def test_a_late_first_token_is_found_and_the_length_of_answers_is_not_held_against_a_canary() -> None:
    """Of streams, from the fault's onset after the warm-up; with the default steps."""
    late = list(play_often(STREAMING, SCENARIOS["late-first-token"], Setting(duration=600, onset=61), 3, seed=2))
    assert all(one.rolled_back and one.cause.startswith("ttft") and one.bad for one in late)
    for name in ("longer-answers", "varying-answers"):
        assert all(one.promoted for one in play_often(STREAMING, SCENARIOS[name], Setting(duration=500), 2, seed=2))


def test_streams_have_first_tokens() -> None:
    """Of those that came to it, once they have ended; with the median that is said."""
    server = Server(errors=0.0, client_errors=0.0, seconds=(2.0, 6.0), cancels=0.5, first_ms=300.0)
    side = SimulatedVersion(random.Random(2))
    samples = [side.serve(server, 100, float(t)) for t in range(60)]
    timed = sum(count for s in samples for _, count in s.ttft)
    ended = sum(s.ok + s.cancelled for s in samples)
    assert sum(s.ok for s in samples) < timed < ended
    assert sum(count for s in samples for edge, count in s.ttft if edge <= 300.0) / timed == pytest.approx(
        0.5, abs=0.05
    )


@pytest.mark.proves("track-record 76")
def test_the_gates_hold_to_the_tolerance_of_latency() -> None:
    """A canary that is slower by twice the tolerance is not promoted while the evidence for a rollback gathers; one
    inside the tolerance loses no time."""
    setting, twice = Setting(duration=2400, onset=61), Scenario("twice", "20 % slower", False, canary=slower(1.2))
    assert not any(one.promoted for one in play_often(SERVICE, twice, setting, 4, seed=1))
    inside = play_often(SERVICE, SCENARIOS["slower-5"], Setting(duration=300), 2, seed=1)
    assert all(one.promoted and one.at is not None and one.at <= 260 for one in inside)


@pytest.mark.proves("track-record 75")
@pytest.mark.parametrize("rps", [100.0, 1000.0])
def test_a_pause_of_one_server_is_no_regression(rps: float) -> None:
    """Versions that are alike, each with pauses of its own: a second of slow answers is one event, not fifty."""
    played = list(play_often(SERVICE, SCENARIOS["pauses"], Setting(rps=rps, duration=900), 5, seed=1))
    assert [one.rolled_back for one in played] == [False] * 5
    assert all(one.promoted for one in played)


@pytest.mark.parametrize("name", ["no-traffic", "no-canary-traffic"])
def test_without_traffic_nothing_is_decided(name: str) -> None:
    """Neither rolled back nor promoted."""
    played = play(SERVICE, SCENARIOS[name], Setting(duration=900), seed=1)
    assert (played.rolled_back, played.promoted, played.requests) == (False, False, 0)


def test_every_scenario_can_be_played() -> None:
    """Each behaviour makes a server of a server at any time."""
    for scenario in SCENARIOS.values():
        for t in (0.0, 100.0, 5000.0):
            usual = scenario.both(Server(), Moment(t, t, 0.5))
            made = scenario.canary(usual, Moment(t, t, 0.5))
            assert 0 <= made.errors <= 1
            assert made.median > 0


def test_a_summary_counts_what_was_decided() -> None:
    """Chances are of all rollouts, times and requests of those that were decided."""
    back = PlayedRollout(True, False, 10.0, 10.0, 50, 5, "5xx", ((0.0, 500), (10.0, 0)))
    neither = PlayedRollout(False, False, None, 600.0, 3000, 60, "", ((0.0, 500),))
    summary = summarize(SCENARIOS["errors-20"], [back, back, back, neither], points=12)
    assert (summary.rolled_back, summary.promoted) == (0.75, 0.0)
    assert (summary.seconds.median, summary.requests.mean, summary.bad.p90) == (10.0, 50.0, 5)
    assert summary.causes == {"5xx": 3}
    assert [point[1] for point in summary.course][-1] == 0.75
    assert summary.course[-1][3] == pytest.approx(0.0125)


def test_bad_answers_over_all_weigh_every_bad_canary_the_same() -> None:
    """The geometric mean: of 4 and 9 bad answers 6; of healthy canaries nothing."""
    found = [
        summarize(SCENARIOS[name], [PlayedRollout(True, False, 10.0, 10.0, 50, bad, "5xx", ((0.0, 500),))], points=2)
        for name, bad in (("errors-20", 4), ("errors-2", 9), ("healthy", 100))
    ]
    assert mean_bad_responses(found) == pytest.approx(6.0)
    assert mean_bad_responses(found[2:]) is None


def test_what_is_not_nothing_shows_in_a_plot() -> None:
    """One rollout in a thousand is still a mark."""
    assert bars([0.0, 0.001, 0.5, 1.0]) == " ▁▄█"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A service file with the default policy."""
    file = tmp_path / "service.yaml"
    versions = 'versions:\n  v1: {endpoints: ["h:1"]}\n  v2: {endpoints: ["h:2"]}\n'
    file.write_text(f"service: a\nlisten: {{port: 1}}\n{versions}stable: v1\n")
    return str(file)


def test_the_command_answers_people_and_programs(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with a plot, or one JSON document with the same figures."""
    asked = ["simulate", "-f", path, "--errors", "50%", "--runs", "2", "--duration", "60s"]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "ROLLED BACK" in shown
    assert "100.0%" in shown
    assert "rolled back for: 5xx 2" in shown
    assert main([*asked, "--output", "json"]) == 0
    [canary] = json.loads(capsys.readouterr().out)["canaries"]
    assert (canary["name"], canary["rolled_back"], canary["runs"]) == ("yours", 1.0, 2)


def test_all_canaries_are_those_that_fit_the_service(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Streams are for services that stream."""
    streaming = tmp_path / "streaming.yaml"
    streaming.write_text(f"{Path(path).read_text()}streaming: true\n")
    names = []
    for file in (path, str(streaming)):
        assert main(["simulate", "-f", file, "--all", "--runs", "1", "--duration", "2s", "-o", "json"]) == 0
        names.append({canary["name"] for canary in json.loads(capsys.readouterr().out)["canaries"]})
    assert names[1] - names[0] == {"late-first-token", "longer-answers", "varying-answers"}


def test_approvals_are_given_where_there_is_nobody_to_ask(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And that is said: what would be asked for is no part of the figures."""
    with Path(path).open("a") as file:
        file.write("policy: {approve: [10%, 100%]}\n")
    assert (
        main(["simulate", "-f", path, "--scenario", "healthy", "--runs", "1", "--duration", "400s", "-o", "json"]) == 0
    )
    shown = capsys.readouterr()
    assert json.loads(shown.out)["canaries"][0]["promoted"] == 1.0
    assert "approvals are given at once" in shown.err


def test_a_share_that_is_held_takes_the_place_of_a_shadow_step(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its canary has requests of its own, so nothing of it is a copy."""
    with Path(path).open("a") as file:
        file.write("policy: {steps: [shadow 1h, 5%]}\n")
    held = ["--hold", "50%", "--scenario", "outage", "--runs", "1", "--duration", "60s", "-o", "json"]
    assert main(["simulate", "-f", path, *held]) == 0
    held_at = json.loads(capsys.readouterr().out)["canaries"][0]
    assert held_at["rolled_back"] == 1.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--scenario", "nonsense"], "there is no canary 'nonsense'; --list shows them"),
        (["--scenario", "longer-answers"], "longer-answers is for streams: the service file needs streaming: true"),
        (["--errors", "200%"], "'--errors': a share lies between 0% and 100%, not '200%'"),
        (["--duration", "soon"], "'--duration': a duration such as 250ms, 5s, 2m or 6h is needed, not 'soon'"),
        (["--hold", "0%"], "--hold: between 0% and 100%, not 0%"),
        (["--tick", "0s"], "--tick: from 10ms to 60s"),
    ],
)
def test_wrong_usage_is_named(wrong: list[str], message: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ends with exit code 2 and says what is wrong."""
    assert main(["simulate", "-f", path, *wrong]) == 2
    assert message in capsys.readouterr().err


def test_a_simulation_needs_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file there is none."""
    assert main(["simulate", "--scenario", "good"]) == 2
    assert "-f FILE is needed" in capsys.readouterr().err


def test_the_named_canaries_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it does."""
    assert main(["simulate", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and scenario.about in shown for name, scenario in SCENARIOS.items())
