"""Proxies whose figures differ from those of all others: every verdict names them, and none decides otherwise."""

import pytest

from controller.core.control.session import Session, TickInputs
from controller.core.control.sync import Sync
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.reason import ReasonCode
from controller.core.judge.verdict import Outcome
from controller.core.model.rollout import Phase
from controller.core.model.view import View
from controller.core.traffic.differing_proxies import ReportedTotal, differing_proxies
from controller.core.traffic.reports import ClusterLoad
from controller.ports.report_admission import Reporter
from controller.runtime.report_totals import COMPARED_EVERY, ReportTotals
from tests.builders import state_in, verdict
from tests.fakes.clock import FakeClock

GOOD, BAD = ReportedTotal(1000, 2), ReportedTotal(1000, 500)
CASES = {
    "all alike": ({"a": GOOD, "b": GOOD, "c": GOOD}, ()),
    "all bad": ({"a": BAD, "b": BAD, "c": BAD}, ()),
    "one with failures": ({"a": GOOD, "b": BAD, "c": GOOD}, ("b",)),
    "one without, beside a bad canary": ({"a": BAD, "b": GOOD, "c": BAD}, ("b",)),
    "a volume that outweighs all others": ({"a": GOOD, "b": ReportedTotal(10**9, 5 * 10**8), "c": GOOD}, ("b",)),
    "two of five": ({"a": GOOD, "b": BAD, "c": GOOD, "d": BAD, "e": GOOD}, ("b", "d")),
    "two have no majority": ({"a": GOOD, "b": BAD}, ()),
    "too few requests": ({"a": GOOD, "b": ReportedTotal(99, 99), "c": GOOD}, ()),
    "a little worse": ({"a": GOOD, "b": ReportedTotal(10**6, 90_000), "c": GOOD}, ()),
    "by chance": ({"a": GOOD, "b": ReportedTotal(100, 12), "c": GOOD}, ()),
}


@pytest.mark.parametrize(("totals", "expected"), CASES.values(), ids=CASES.keys())
def test_a_proxy_differs_from_the_median_of_all(totals: dict[str, ReportedTotal], expected: tuple[str, ...]) -> None:
    """By much more than chance, and by so much that it matters."""
    assert differing_proxies(totals) == expected


@pytest.mark.parametrize("outcome", list(Outcome))
def test_it_is_named_last_and_changes_no_decision(outcome: Outcome) -> None:
    """The proxy is named beside the other reasons."""
    state = state_in(Phase.PROGRESSING)
    inputs = (TickInputs((), Sync(3, 3)), TickInputs((), Sync(3, 3, differing=("edge-2",))))
    (_, plain, expected), (_, odd, found) = (
        decide_on_verdict(state, Session.of(state), verdict(outcome), 0.0, each, 0.0) for each in inputs
    )
    assert (found.kind, found.act) == (expected.kind, expected.act)
    assert odd.reasons[:-1] == plain.reasons
    assert odd.reasons[-1].code is ReasonCode.PROXY_DIFFERS
    text = "1 of 3 proxies report far more or fewer failures of the canary than the others (edge-2)"
    assert odd.reasons[-1].text == text


def test_proxies_are_compared_on_the_canary_of_the_running_rollout() -> None:
    """Since it began; one that has gone is not compared any longer."""
    clock, state = FakeClock(), state_in(Phase.PROGRESSING)
    totals = ReportTotals(clock)
    totals.on_view(View("store", 1, {state.name: state}))
    for node, errors in (("a", 0), ("b", 600), ("c", 0)):
        loads = {f"{state.name}/v2": ClusterLoad(1000, 1000 - errors, errors), f"{state.name}/v1": ClusterLoad(5, 5)}
        totals.add(Reporter(node, "edge", "peer"), loads)
    assert totals.differing(state.name) == ("b",)
    assert totals.of("b", "edge") == (1005, 600)
    totals.forget("b", "edge")
    clock.now += COMPARED_EVERY
    assert totals.differing(state.name) == ()
    totals.on_view(View("store", 2, {}))
    assert totals.differing(state.name) == ()
