"""Lines of reports: what `haldane judge` reads and writes. Parsing alone, without I/O."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from typing import Any

from controller.core.base.text import clean, is_printable
from controller.core.traffic.window import Sample, Stratum
from controller.simulation.trial import TrialTick

MAX_LINE = 1 << 20
"""Bytes in a line; two versions with 10 000 latency buckets each need less."""
MAX_COUNT = 10**12
MAX_BUCKETS = 10_000
MAX_NAME = 256
"""Characters of a stratum's name."""
MAX_STRATA = 64
"""Groups of proxies in one line."""
MAX_EDGE = 1e15
"""Milliseconds."""
CLASSES = ("5xx", "4xx", "broken")
Edges = tuple[float, ...]
_SHOWN = 60


class BadReport(ValueError):  # noqa: N818  (it is an answer)
    """A line that cannot be understood: which field, and what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line: what both versions did up to `t`. `run` is None where the line names none."""

    t: float
    run: int | None
    strata: tuple[Stratum, ...]
    """By group of proxies that serve one split; one without a name where the line tells none apart."""


def read_report(line: bytes) -> ReportLine:
    """The report in a line; `BadReport` says what is wrong with it."""
    if len(line) > MAX_LINE:
        raise BadReport("", f"longer than {MAX_LINE} bytes")
    try:
        value = json.loads(line, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadReport):
            raise
        raise BadReport("", f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadReport(
            "", f'an object such as {{"t": 1.0, "stable": ..., "canary": ...}} is needed, not {_shown(value)}'
        )
    _check_keys(value, "", ("t", "stable", "canary", "strata", "run"))
    for key in ("t",) if "strata" in value else ("t", "stable", "canary"):
        if key not in value:
            raise BadReport(key, "is missing")
    t = value["t"]
    if isinstance(t, bool) or not isinstance(t, int | float) or not abs(t) <= MAX_COUNT:
        raise BadReport("t", f"seconds are needed, not {_shown(t)}")
    return ReportLine(
        float(t),
        _count(value["run"], "run") if "run" in value else None,
        _strata(value) if "strata" in value else (_stratum(value, "", ""),),
    )


def decision_line(t: float, ticked: TrialTick) -> dict[str, Any]:
    """The decision on a report, as JSON values."""
    return {
        "t": t,
        "decision": ticked.word,
        "phase": ticked.rollout.phase.value,
        "weight": ticked.rollout.weight,
        "verdict": ticked.verdict.outcome.value,
        "reasons": [f"{reason.code}: {reason.text}" for reason in ticked.verdict.reasons] or [ticked.decision.reason],
    }


def _strata(value: dict[str, Any]) -> tuple[Stratum, ...]:
    if "stable" in value or "canary" in value:
        raise BadReport("strata", "stands in place of stable and canary, not beside them")
    listed = value["strata"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_STRATA:
        raise BadReport("strata", f"a list of 1 to {MAX_STRATA} groups of proxies is needed")
    found: dict[str, Stratum] = {}
    for i, each in enumerate(listed):
        where = f"strata[{i}]"
        if not isinstance(each, dict):
            raise BadReport(where, f"an object with name, stable and canary is needed, not {_shown(each)}")
        _check_keys(each, where, ("name", "stable", "canary"))
        for key in ("name", "stable", "canary"):
            if key not in each:
                raise BadReport(f"{where}.{key}", "is missing")
        name = each["name"]
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not is_printable(name):
            raise BadReport(
                f"{where}.name", f"a text of 1 to {MAX_NAME} printable characters is needed, not {_shown(name)}"
            )
        if name in found:
            raise BadReport(f"{where}.name", f"{_shown(name)} is named twice")
        found[name] = _stratum(each, name, f"{where}.")
    return tuple(found.values())


def _stratum(value: dict[str, Any], name: str, where: str) -> Stratum:
    stable, canary = _sample(value["stable"], f"{where}stable"), _sample(value["canary"], f"{where}canary")
    return Stratum(name, stable, canary)


def _sample(value: Any, side: str) -> Sample | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadReport(side, f"an object or null is needed, not {_shown(value)}")
    _check_keys(value, side, ("started", "ok", "errors", "latency", "ttft", "in_progress", "cancelled"))
    for key in ("started", "ok"):
        if key not in value:
            raise BadReport(f"{side}.{key}", "is missing")
    latency, edges = _latency(value.get("latency", []), f"{side}.latency")
    ttft, ttft_edges = _latency(value["ttft"], f"{side}.ttft") if "ttft" in value else ((), ())
    return Sample(
        _count(value["started"], f"{side}.started"),
        _count(value["ok"], f"{side}.ok"),
        _errors(value.get("errors", {}), f"{side}.errors"),
        latency,
        edges or ttft_edges,
        ttft=ttft,
        in_progress=_count(value["in_progress"], f"{side}.in_progress") if "in_progress" in value else None,
        cancelled=_count(value.get("cancelled", 0), f"{side}.cancelled"),
    )


def _errors(value: Any, field: str) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise BadReport(field, f"an object of counts is needed, not {_shown(value)}")
    _check_keys(value, field, CLASSES)
    return {name: _count(count, f"{field}.{name}") for name, count in value.items()}


def _latency(value: Any, field: str) -> tuple[tuple[tuple[float, int], ...], Edges]:
    """The buckets that are not empty, and the edges of all."""
    if not isinstance(value, list) or len(value) > MAX_BUCKETS:
        raise BadReport(field, f"a list of at most {MAX_BUCKETS} [upper edge in ms, count] is needed")
    edges, counts = _plain_buckets(value) or _checked_buckets(value, field)
    return tuple(compress(zip(edges, counts, strict=True), counts)), edges


def _plain_buckets(value: list[Any]) -> tuple[Edges, tuple[int, ...]] | None:
    """The buckets, if all are right, without checking each by itself: most of the time goes into them."""
    if set(map(type, value)) != {list} or set(map(len, value)) != {2}:
        return None
    edges, counts = zip(*value, strict=True)
    if set(map(type, counts)) != {int} or min(counts) < 0 or max(counts) > MAX_COUNT:
        return None
    if not set(map(type, edges)) <= {int, float, type(None)}:
        return None
    rising = _rising(edges)
    return (rising, counts) if rising else None


@lru_cache(maxsize=256)
def _rising(edges: tuple[float | None, ...]) -> Edges:
    """The edges if they are right, else (). A caller has the same few again and again."""
    try:
        return _checked_buckets([[edge, 0] for edge in edges], "")[0]
    except BadReport:
        return ()


def _checked_buckets(value: list[Any], field: str) -> tuple[Edges, tuple[int, ...]]:
    """The buckets, each looked at by itself; `BadReport` names the one that is wrong."""
    edges, counts, below = [], [], -math.inf
    for number, bucket in enumerate(value):
        if not isinstance(bucket, list) or len(bucket) != 2:
            raise BadReport(f"{field}[{number}]", f"[upper edge in ms, count] is needed, not {_shown(bucket)}")
        edge = _edge(bucket[0], f"{field}[{number}][0]", last=number == len(value) - 1)
        if edge <= below:
            raise BadReport(f"{field}[{number}][0]", f"edges must rise: {edge:g} follows {below:g}")
        edges.append(edge)
        counts.append(_count(bucket[1], f"{field}[{number}][1]"))
        below = edge
    return tuple(edges), tuple(counts)


def _edge(value: Any, field: str, *, last: bool) -> float:
    if value is None and last:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_EDGE:
        raise BadReport(
            field, f"milliseconds from 0 to {MAX_EDGE:g} are needed (null, for infinity, last), not {_shown(value)}"
        )
    return float(value)


def _count(value: Any, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise BadReport(field, f"a whole number from 0 to {MAX_COUNT} is needed, not {_shown(value)}")
    return value


def _check_keys(value: Mapping[str, Any], field: str, known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            where = f"{field}.{_shown(key)}" if field else _shown(key)
            raise BadReport(where, f"unknown; there are {', '.join(known)}")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise BadReport(_shown(twin), "stands there twice")
    return value


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = clean(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
