"""The stored form of the judge's state: JSON values, readable after a restart and by later
versions.

The form is fixed by `FORMAT`, apart from the code: a field of `JudgeState` may be renamed, its
stored key may not.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any

from controller.core.judge.arrivals import Arrivals
from controller.core.judge.baseline import Baseline
from controller.core.judge.block import Block, StratumCounts
from controller.core.judge.channels import ALTERNATIVES_OF, LATENCY, QUANTILES, TAILS_OF, TTFT
from controller.core.judge.design_effect import Clustering, DesignEffect
from controller.core.judge.latency_block import BINS, LatencyBlock, LatencyPair, LatencySide
from controller.core.judge.latency_thresholds import StableLatency, Thresholds
from controller.core.judge.non_inferiority import MarginWealth, NonInferiorityTest
from controller.core.judge.overdue_counter import OverdueCounter
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.recent_counts import RecentCounts
from controller.core.judge.state import JudgeState
from controller.core.judge.timing import Timing
from controller.core.judge.wealth import Wealth

FORMAT = 3
"""The number of the stored form; any other is rejected."""

_STORED_AS = {
    "time": "time",
    "weight": "weight",
    "weight_changed_at": "changed",
    "shadow": "shadow",
    "first_canary_request": "first",
    "warm": "warm",
    "last_report": "counted",
    "last_report_canary": "heard_c",
    "last_report_stable": "heard_s",
    "last_report_both": "heard_both",
    "incident_until": "incident_until",
    "latency_reported": "timed",
    "client_errors_reported": "classed",
    "unplaced": "left",
    "harm": "harm",
    "non_inferiority": "proofs",
    "server_errors": "server",
    "client_errors": "client",
    "overdue_canary": "load_c",
    "overdue_stable": "load_s",
    "error_block": "answers",
    "client_error_block": "classes",
    "overdue_block": "stuck",
    "settling": "settling",
    "server_error_effect": "server_error_effect",
    "client_error_effect": "client_error_effect",
    "late_until": "late_until",
    "late_outage": "late_outage",
    "arrivals": "arrivals",
    "broken": "broken",
    "recent": "recent",
}
"""Field -> stored key, in the stored order. The clock's reading is left out: clocks start again."""
_ADDED: Mapping[str, Any] = {"settling": [], "broken": 0, "shadow": False}
"""What the form did not have from the beginning: stored key -> what its absence means."""
assert {*_STORED_AS, "times", "window_clock"} == {f.name for f in fields(JudgeState)}


def dump_state(state: JudgeState) -> dict[str, Any]:
    """The state as JSON values."""
    stored: dict[str, Any] = {"format": FORMAT}
    for name, key in _STORED_AS.items():
        value = getattr(state, name)
        stored[key] = _plain(value)
    stored |= _write_timing(state.times[LATENCY])
    if TTFT in state.times:
        stored[TTFT] = _write_timing(state.times[TTFT])
    return stored


def load_state(stored: Mapping[str, Any]) -> JudgeState:
    """What `dump_state` wrote. ValueError for anything else."""
    if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
        raise ValueError(f"evidence of another format than {FORMAT}")
    try:
        times = {LATENCY: _read_timing(stored)}
        if TTFT in stored:
            times[TTFT] = _read_timing(stored[TTFT])
        known = {**_ADDED, **stored}
        values = {name: _READ.get(name, _real)(known[key]) for name, key in _STORED_AS.items()}
        return JudgeState(times=times, **values)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"not stored evidence: {error!r}") from error


def _plain(value: Any) -> Any:
    """As JSON values. Nearly all are numbers, so those are looked for first, and a mapping last."""
    if isinstance(value, float):
        return value if isfinite(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    return value


def _real(value: Any) -> Any:
    """The inverse of `_plain` for numbers and tuples of them."""
    if isinstance(value, list):
        return tuple([_real(item) for item in value])
    if isinstance(value, str):
        if value not in ("inf", "-inf"):
            raise ValueError(f"a number is needed, not {value[:40]!r}")
        return float(value)
    return value


def _table(pairs: Any, read: Callable[[Any], Any]) -> dict[Any, Any]:
    return {float(key) if key == "inf" else key: read(item) for key, item in pairs}


def _values(read: Callable[..., Any]) -> Callable[[Any], Any]:
    """How to read a value that is stored as the list of its fields."""
    return lambda stored: read(*_real(stored))


def _values_by_name(read: Callable[..., Any]) -> Callable[[Any], Any]:
    """Likewise a dictionary of such values."""
    return lambda stored: _table(stored, _values(read))


def _read_harm(stored: Any) -> dict[str, Wealth]:
    """A channel that the form lacks has no stake: the error budget was shared out without it."""
    harm: dict[str, Wealth] = _table(stored, _values(Wealth))
    added = [name for time, tails in TAILS_OF.items() if time in harm for name in tails if name not in harm]
    return harm | {name: Wealth(0.0, (0.0,) * len(ALTERNATIVES_OF[name])) for name in added}


def _read_recent(stored: Any) -> dict[str, RecentCounts]:
    """Counts by other quantiles are left out."""
    recent: dict[str, RecentCounts] = _table(stored, _values(RecentCounts))
    return {name: kept for name, kept in recent.items() if name not in TAILS_OF or len(kept.new) == 2 * BINS}


def _read_tests(stored: Any) -> dict[str, NonInferiorityTest]:
    return _table(stored, _read_test)


def _read_test(stored: Any) -> NonInferiorityTest:
    margins, evidence, since, estimate, counts = stored
    wealths = tuple([MarginWealth(*_real(wealth)) for wealth in margins])
    strata = tuple([(name, PairedCounts(*each)) for name, each in counts])
    return NonInferiorityTest(wealths, _real(evidence), since, estimate, strata)


def _write_timing(timing: Timing) -> dict[str, Any]:
    """The latency's is stored with the rest of the state, that of the first token apart."""
    return {
        "past": _plain(timing.past),
        "thresholds": _write_thresholds(timing.thresholds),
        "pair": _plain(timing.block),
        "initial_thresholds": _write_thresholds(timing.initial),
    }


def _read_timing(stored: Mapping[str, Any]) -> Timing:
    return Timing(
        _read_latency_block(stored["pair"]),
        _read_stable_latency(stored["past"]),
        _read_thresholds(stored["thresholds"]),
        _read_thresholds(stored["initial_thresholds"]),
    )


def _write_thresholds(thresholds: Thresholds | None) -> list[Any] | None:
    """The thresholds of the two non-inferiority tests are stored as a pair."""
    if thresholds is None:
        return None
    since, stable, canary, tail_proof, *others = thresholds
    written: list[Any] = _plain((since, stable, canary, (thresholds.median_proof, tail_proof), *others))
    return written


def _read_thresholds(stored: Any) -> Thresholds | None:
    """None also for a form with other quantiles: they are worked out again."""
    if not stored:
        return None
    since, stable, canary, (_, tail_proof), *others = _real(stored)
    if len(stable) != len(QUANTILES):
        return None
    return Thresholds(since, stable, canary, tail_proof, *others)


def _read_side(stored: Any) -> LatencySide:
    answered, errors, timed, histograms = stored
    return LatencySide(answered, errors, timed, _real(histograms))


def _read_latency_block(stored: Any) -> LatencyBlock:
    since, strata = stored
    pairs = [(name, LatencyPair(_read_side(canary), _read_side(stable))) for name, (canary, stable) in strata]
    return LatencyBlock(_real(since), tuple(pairs))


def _read_block(stored: Any) -> Block:
    estimate, since, strata = stored
    return Block(estimate, since, tuple([(name, StratumCounts(*counts)) for name, counts in strata]))


def _read_stable_latency(stored: Any) -> StableLatency:
    at, weight, total, counts = stored
    return StableLatency(at, weight, total, _table(counts, _real))


def _read_effect(stored: Any) -> DesignEffect:
    (scales,) = stored
    return DesignEffect(tuple([Clustering(*_real(scale)) for scale in scales]))


def _read_settling(stored: Any) -> dict[str, float]:
    return _table(stored, float)


def _read_late_outage(stored: Any) -> PairedCounts | None:
    return PairedCounts(*stored) if stored else None


_READ: dict[str, Callable[[Any], Any]] = {
    "harm": _read_harm,
    "non_inferiority": _read_tests,
    "recent": _read_recent,
    "settling": _read_settling,
    "server_errors": _values(Baseline),
    "client_errors": _values(Baseline),
    "overdue_canary": _values(OverdueCounter),
    "overdue_stable": _values(OverdueCounter),
    "error_block": _read_block,
    "client_error_block": _read_block,
    "overdue_block": _read_block,
    "arrivals": _values(Arrivals),
    "server_error_effect": _read_effect,
    "client_error_effect": _read_effect,
    "late_outage": _read_late_outage,
}
