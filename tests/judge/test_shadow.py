"""A shadow step, judged: copies are a fair sample, and no weight rests on the proof that they gave."""

import pytest

from controller.core.judge.arrivals import QUIET
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome, ReasonCode
from controller.core.model.service import Policy, Shadow
from controller.core.traffic.window import Sample
from controller.simulation.play import Setting, play, play_often
from controller.simulation.scenarios import SCENARIOS
from tests.judge.driving import JudgeRun, codes, sample, service_for

SHADOW = Shadow(dwell=30.0, share=2500)
POLICY = Policy(steps=(0, 1000, 5000), shadow=SHADOW, dwell=20, warmup=5, patience=0, bake=30)


class Copies(JudgeRun):
    """A judge in a shadow step: of each hundred requests a quarter is copied."""

    def __init__(self, policy: Policy = POLICY) -> None:
        super().__init__(policy, weight=0)

    def run(self, ticks: int, canary: Sample | None, stable: Sample | None = None) -> Outcome:
        """The outcome after so many seconds of the same."""
        for _ in range(ticks):
            verdict = self.tick(stable or sample(100), canary)
        return verdict.outcome


def test_copies_beside_all_of_stables_requests_are_as_many_as_a_weight_says() -> None:
    assert [Shadow(dwell=1, share=share).equivalent_weight for share in (10_000, 2500, 1)] == [5000, 2000, 1]


def test_good_copies_are_proof_for_the_first_weight() -> None:
    """The share of the copies is no surprise to the judge."""
    judge = Copies()
    assert judge.run(120, sample(25)) is Outcome.PASS
    assert judge.state.weight == 2000


def test_copies_that_fail_are_harm() -> None:
    judge = Copies()
    assert judge.run(20, sample(25, failed=10)) is Outcome.HARM
    assert codes(judge.verdicts[-1]) == [ReasonCode.SERVER_ERRORS]


def test_slow_copies_are_harm() -> None:
    assert Copies().run(200, sample(25, slow=25)) is Outcome.HARM


def test_the_proof_begins_again_with_the_first_weight() -> None:
    """The evidence of harm goes on: it is one e-process, so the error budget is spent once."""
    judge = Copies()
    judge.run(120, sample(25))
    harm, unplaced = judge.state.total, judge.state.unplaced
    judge.weight, judge.step = 1000, 1
    verdict = judge.tick(sample(90), sample(10))
    assert (verdict.outcome, verdict.warm) == (Outcome.UNKNOWN, True)
    assert all(max(test.evidence) <= 1.0 for test in judge.state.non_inferiority.values())
    assert (judge.state.total, judge.state.unplaced) == (
        pytest.approx(harm, rel=0.01),
        pytest.approx(unplaced, rel=0.01),
    )
    assert judge.state.unplaced < 1.0
    for _ in range(600):
        verdict = judge.tick(sample(90), sample(10))
    assert verdict.outcome is Outcome.PASS


@pytest.mark.parametrize("before", [0, 60], ids=["never", "not any more"])
def test_without_copies_it_waits_and_says_so(before: int) -> None:
    """Clients without a proxy send none, and no client is exposed: it is no harm."""
    judge = Copies()
    if before:
        judge.run(before, sample(25))
    assert judge.run(int(QUIET) * 10, sample(0)) is Outcome.UNKNOWN
    assert ReasonCode.NO_ARRIVALS in codes(judge.verdicts[-1])
    assert "no copy of a request has reached the canary" in str([r.text for r in judge.verdicts[-1].reasons])


def test_a_first_weight_at_which_nothing_arrives_is_no_harm_because_copies_did() -> None:
    judge = Copies()
    judge.run(120, sample(25))
    judge.weight, judge.step = 1000, 1
    assert judge.run(300, sample(0)) is Outcome.UNKNOWN
    assert "no request has ever reached the canary" in str([r.text for r in judge.verdicts[-1].reasons])


def test_the_stored_form_keeps_it_and_older_ones_have_none() -> None:
    judge = Copies()
    judge.run(10, sample(25))
    stored = dump_state(judge.state)
    assert load_state(stored).shadow
    del stored["shadow"]
    assert not load_state(stored).shadow


def test_whole_rollouts_that_begin_with_copies() -> None:
    """A good one climbs all steps, in time; a bad one has no weight at any time."""
    good = play(service_for(POLICY), SCENARIOS["healthy"], Setting(rps=400.0, duration=3600.0), 1)
    assert good.promoted
    assert [weight for _, weight in good.moves][:3] == [0, 1000, 5000]
    assert good.moves[1][0] >= SHADOW.dwell
    for bad in play_often(service_for(POLICY), SCENARIOS["errors-20"], Setting(rps=400.0, duration=3600.0), 5, 1):
        assert bad.rolled_back
        assert {weight for _, weight in bad.moves} == {0}
