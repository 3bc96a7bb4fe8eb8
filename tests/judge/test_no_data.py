"""No data is three things: no traffic, traffic that does not arrive, no reports. And gaps are not zeros."""

import json

import pytest

from controller.core.judge.state import JudgeState
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample
from controller.simulation.simulated_version import Server
from tests.judge.driving import STEADY, JudgeRun, codes, sample


def test_no_traffic_is_neither_good_nor_bad() -> None:
    """No one asks anything: unknown, with the reason, for as long as it lasts."""
    judged = JudgeRun(Policy(warmup=0))
    for _ in range(600):
        verdict = judged.tick(Sample(), Sample())
        assert verdict.outcome is Outcome.UNKNOWN
    assert codes(verdict) == ["no_traffic"]
    assert not verdict.blind


def test_traffic_that_stops_arriving_is_harm() -> None:
    """The canary had requests and has none now, though its weight says that it must: what is sent to it is lost."""
    judged = JudgeRun()
    judged.load(60)
    seconds = 0
    while judged.tick(sample(95), Sample()).outcome is not Outcome.HARM:
        seconds += 1
        assert seconds < 60
    assert codes(judged.verdicts[-1]) == ["no_arrivals"]
    assert seconds >= 5, "a lag of a few ticks is no loss"


def test_users_that_stick_to_a_version_come_and_go() -> None:
    """A few users with sticky routing: the canary's only one is away for half a minute now and then. That is no loss;
    when nothing comes for much longer than ever, it is."""
    judged = JudgeRun()
    for tick in range(600):
        judged.tick(sample(95), sample(5 if tick % 60 < 25 else 0))
    assert all("no_arrivals" not in codes(verdict) for verdict in judged.verdicts[120:])
    for _ in range(600):
        verdict = judged.tick(sample(95), Sample())
    assert codes(verdict) == ["no_arrivals"]


def test_a_slow_service_is_not_taken_for_a_hanging_one() -> None:
    """Answers take 20 s on both versions: what has not been answered after 5 s is nothing unusual here."""
    judged = JudgeRun(Policy(warmup=60), weight=5000)
    edges = (10_000.0, 20_000.0, float("inf"))
    for tick in range(120):
        answered = Sample(3, 3, {}, ((20_000.0, 3),), edges)
        verdict = judged.tick(answered, answered if tick >= 20 else Sample(3, 0))
        assert verdict.outcome is not Outcome.HARM


def test_a_canary_that_never_had_a_request_is_not_judged() -> None:
    """Nothing ever reached it: that may be the routing or sticky users. Neither rollback nor proof, and it says why."""
    judged = JudgeRun()
    for _ in range(600):
        verdict = judged.tick(sample(100), Sample())
        assert verdict.outcome is Outcome.UNKNOWN
    assert "no_arrivals" in codes(verdict)
    assert "ever reached the canary" in verdict.reasons[0].text


def test_a_weight_that_is_followed_late_is_no_loss() -> None:
    """Proxies serve the new weight some ticks after it was decided: nothing is concluded from that."""
    judged = JudgeRun(weight=500)
    judged.load(30)
    judged.weight = 5000
    for _ in range(5):
        judged.tick(sample(100), Sample())
    assert judged.load(60, seed=2).outcome is not Outcome.HARM
    assert not any("share" in codes(verdict) for verdict in judged.verdicts)


def test_a_wrong_share_holds_the_gates_and_no_more() -> None:
    """A third of the traffic at a weight of 5 %: the comparison is in doubt, so no gate opens; alone it is no harm."""
    judged = JudgeRun(Policy(warmup=0))
    for _ in range(120):
        verdict = judged.tick(sample(66), sample(33))
        assert verdict.outcome is not Outcome.HARM
    assert "share" in codes(verdict)
    assert verdict.outcome is Outcome.UNKNOWN


def test_blindness_is_said_and_ends_with_the_reports() -> None:
    """Without reports time is not observed after a few seconds; with the reports the judgement goes on."""
    judged = JudgeRun(Policy(warmup=0))
    judged.load(100)
    blind = [judged.tick(None, None).blind for _ in range(100)]
    assert not any(blind[:5])
    assert all(blind[6:])
    assert judged.verdicts[-1].outcome is Outcome.UNKNOWN
    assert codes(judged.verdicts[-1]) == ["blind"]
    assert "both versions" in judged.verdicts[-1].reasons[0].text
    assert not judged.load(5, seed=2).blind
    assert judged.load(60, seed=3).outcome is Outcome.PASS


def test_blindness_rolls_back_only_where_the_policy_says_so() -> None:
    """`on_blind: rollback`: harm after a minute without reports, not before, and not with `hold`."""
    judged = JudgeRun(Policy(warmup=0, on_blind="rollback"))
    judged.load(10)
    outcomes = [judged.tick(None, None).outcome for _ in range(70)]
    assert Outcome.HARM not in outcomes[:58]
    assert outcomes[60] is Outcome.HARM
    assert codes(judged.verdicts[-1]) == ["blind"]


def test_one_missing_side_is_not_a_side_without_requests() -> None:
    """The canary's errors wait for stable's report of the same time: an incident inside a gap hits both."""
    judged = JudgeRun()
    judged.load(60)
    for _ in range(4):
        assert judged.tick(None, sample(5, failed=2)).outcome is not Outcome.HARM
    assert judged.tick(sample(500, failed=200), sample(5, failed=2)).outcome is not Outcome.HARM


def test_missing_reports_do_not_blame_anybody() -> None:
    """A third of all reports lost, on either side, each on its own: a good canary stays one."""
    judged = JudgeRun(Policy(warmup=10))
    plain = JudgeRun(Policy(warmup=10))
    plain.load(400)
    for tick in range(400):
        judged.tick(None if tick % 3 == 0 else sample(95, failed=tick % 9 == 0), None if tick % 5 < 2 else sample(5))
    assert all(verdict.outcome is not Outcome.HARM for verdict in judged.verdicts)
    assert judged.verdicts[-1].outcome is Outcome.PASS


def test_a_missing_stream_is_not_a_stream_of_zeros() -> None:
    """Latency and client errors come by another way than errors. If the canary's stop, its gate does not open."""
    judged = JudgeRun(Policy(warmup=0))
    for _ in range(120):
        verdict = judged.tick(sample(95), Sample(5, 5, {}, ()))
    assert verdict.outcome is Outcome.UNKNOWN
    assert {reason.channel for reason in verdict.reasons} == {"4xx", "latency_p50", "latency_p99"}


def test_without_any_latency_errors_alone_decide() -> None:
    """Where no latency is ever reported on either side, the gates do not wait for it."""
    judged = JudgeRun(Policy(warmup=0))
    for _ in range(60):
        verdict = judged.tick(sample(95, timed=False), sample(5, timed=False))
    assert verdict.outcome is Outcome.PASS


def test_a_restart_goes_on_with_the_evidence() -> None:
    """Dumped to JSON and loaded by another process whose clock starts elsewhere, it says the same from there on."""
    judged = JudgeRun(Policy(warmup=20))
    judged.load(90, canary=Server(errors=0.01))
    other = JudgeRun(Policy(warmup=20))
    other.state = load_state(json.loads(json.dumps(dump_state(judged.state), allow_nan=False)))
    other.now = 12_345.0
    before = judged.state.total
    assert other.state.total == before
    judged.tick(sample(95), sample(5, failed=1), seconds=0.0)
    other.tick(sample(95), sample(5, failed=1))
    assert other.verdicts == judged.verdicts[-1:]
    assert dump_state(other.state) == dump_state(judged.state)


@pytest.mark.parametrize(
    "spoiled",
    [
        {},
        {"format": 99},
        {"format": "1"},
        {"format": 1},
        {"time": "yesterday"},
        {"harm": [["5xx", 1]]},
        {"past": []},
        {"answers": None},
        {"pair": [0.0]},
    ],
    ids=str,
)
def test_stored_evidence_that_cannot_be_read_is_refused(spoiled: dict[str, object]) -> None:
    """Another format or a damaged record is a ValueError, never half an evidence."""
    whole = dump_state(JudgeState.start(Policy()))
    stored = {**whole, **spoiled} if spoiled and set(spoiled) != {"format"} else spoiled
    with pytest.raises(ValueError, match="evidence"):
        load_state(stored)
    assert load_state(whole) == JudgeState.start(Policy())


def test_a_service_that_no_one_asks_at_night_is_compared_by_the_day() -> None:
    """After an hour with stable alone, stable's night is not held against the canary's morning."""
    judged = JudgeRun(STEADY)
    judged.load(60)
    for _ in range(600):
        judged.tick(sample(1), Sample())
    assert judged.state.error_block.counts.stable_n < 400
