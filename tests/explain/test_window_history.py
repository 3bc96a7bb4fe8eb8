"""The history: what a rollout was judged by comes back as it was, in bounded space, with nothing added or lost."""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.history.evidence_trace import MOST as MOST_POINTS
from controller.core.history.evidence_trace import EvidencePoint, EvidenceTrace
from controller.core.history.recording import Recording
from controller.core.history.window_history import FINE, MOST, MOST_NUMBERS, WindowHistory, replay_windows
from controller.core.history.window_record import StoredSide, StoredWindow, WindowRecord
from controller.core.judge.verdict import Reason
from controller.core.traffic.latency_buckets import BUCKETS, EDGES_MS, UPPER, with_edges
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.core.traffic.window import Sample, Stratum, Window, added_up

counts = st.integers(0, 10**9)


def histogram(drawn: bytes) -> tuple[tuple[float, int], ...]:
    """Six bytes are one bucket: which, and a count of any size. To draw bytes is a tenth of drawing a dictionary."""
    every = [drawn[at : at + 6] for at in range(0, len(drawn) - 5, 6)]
    return with_edges({six[0] % BUCKETS: int.from_bytes(six[1:5], "big") >> six[5] % 33 for six in every})


histograms = st.binary(max_size=36).map(histogram)
samples = st.builds(
    Sample,
    started=counts,
    ok=counts,
    errors=st.dictionaries(st.sampled_from(["5xx", "4xx", "broken"]), counts),
    latency=histograms,
    edges=st.just(UPPER),
    in_progress=st.none() | counts,
    cancelled=counts,
    ttft=histograms,
)
sides = st.none() | samples
strata = st.lists(
    st.builds(Stratum, st.sampled_from(["", "500", "1000"]), sides, sides),
    min_size=1,
    max_size=3,
    unique_by=lambda s: s.name,
)
values = st.floats(-1e9, 1e9)
readings = st.dictionaries(
    st.sampled_from(["accuracy", "queue"]),
    st.builds(Counted, *[counts] * 4)
    | st.builds(Gauged, values, st.none() | values, st.booleans(), st.just(3), st.just(5), st.just(0.5))
    | st.builds(Unread, st.sampled_from(["of v2: NaN", ""]), st.booleans()),
)


def sample(n: int, bad: int = 0, bucket: int = 20) -> Sample:
    """n requests, so many of them bad."""
    return Sample(n, n - bad, {"5xx": bad, "4xx": 0}, with_edges({bucket: n}), UPPER)


def filled(windows: int, *, seconds: float = 0.2, weight: int = 500) -> tuple[WindowHistory, int]:
    """A history of so many reports, and how many canary requests they told of."""
    history, told, dice = WindowHistory(), 0, random.Random(1)
    stable, canaries = sample(20), [sample(dice.randrange(9), bucket=dice.randrange(BUCKETS)) for _ in range(97)]
    for n in range(windows):
        canary = canaries[n % len(canaries)]
        told += canary.started
        times = (round(n * seconds, 6), round((n + 1) * seconds, 6))
        history.add(WindowRecord(*times, 1e9 + times[1], weight, stable, canary))
    return history, told


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of slow machines alone
@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 10_000), strata, readings), max_size=10))
def test_what_is_stored_comes_back(
    windows: list[tuple[float, int, list[Stratum], dict[str, Reading]]],
) -> None:
    """Every report of any content, to the last bucket, with its weight and by group of proxies; silence alone is put
    together."""
    history, now, told = WindowHistory(), 0.0, []
    for seconds, weight, groups, custom in windows:
        before, now = now, round(now + seconds, 6)
        window = replace(Window.of_strata(now, weight, tuple(groups)), custom=custom)
        record = WindowRecord.of(window, before, now, round(now, 3))
        history.add(record)
        told += [] if record.silent else [record]
    again = Recording.load(Recording("r1", "scorer", "v1", "v2", windows=history).dump())
    found = [record for record in again.windows.records() if not record.silent]
    assert [r._replace(since=0.0) for r in found] == [r._replace(since=0.0) for r in told]
    times = [record.since for record in again.windows.records()] + [now]
    assert times == sorted(times)


def test_a_long_rollout_fits_and_loses_no_request() -> None:
    """Older windows are merged, so a history stays small, its newest windows stay as they were, and the sums hold."""
    history, told = filled(20_000)
    records = list(history.records())
    assert FINE < len(records) <= MOST + 1
    assert sum(map(len, history.lines())) <= 4 * MOST_NUMBERS
    assert sum(r.canary.started for r in records if r.canary) == told
    assert sum(n for r in records if r.canary for _, n in r.canary.latency) == told
    assert all(round(r.at - r.since, 6) == 0.2 for r in records[-FINE:])
    assert [r.since for r in records[1:]] == [r.at for r in records[:-1]]
    assert history.dropped == 0


def test_merged_windows_add_what_was_cancelled_and_keep_the_newest_number_in_progress() -> None:
    """The one is an increment, the other is not."""
    sides = [StoredSide.of(Sample(1, 1, in_progress=n, cancelled=n)) for n in (5, 3)]
    assert sides[0]
    assert sides[1]
    merged = sides[0].plus(sides[1])
    assert (merged.in_progress, merged.cancelled) == (3, 8)


def test_first_tokens_come_back_and_add_up() -> None:
    """Bucket by bucket, as latency does; what was recorded before there were any has none."""
    one = Sample(2, 2, {}, with_edges({20: 2}), UPPER, ttft=with_edges({3: 1, 9: 1}))
    stored = StoredSide.of(one)
    assert stored
    again = StoredSide(*json.loads(json.dumps(stored)))
    assert again.sample == one
    assert again.plus(stored).sample.ttft == with_edges({3: 2, 9: 2})
    assert StoredSide(2, 2, {}, [20, 2], 3, 1).sample.ttft == ()


def test_a_side_that_an_earlier_version_stored_is_read() -> None:
    """It has four values, and nothing of what was not reported then."""
    window = StoredWindow.from_stored([0.0, 1.0, 2.0, 500, [3, 2, {"5xx": 1}, [20, 3]], None])
    side = window.record.stable
    assert side
    assert (side.started, side.ok, side.failed, side.in_progress, side.cancelled) == (3, 2, 1, None, 0)


@pytest.mark.proves("track-record 18")
def test_a_window_is_narrow_for_its_age() -> None:
    """However long a rollout is: what was decided an hour ago is known to the minute, a day ago to half an hour."""
    history, _ = filled(43_200, seconds=2.0)
    records = list(history.records())
    end = records[-1].at
    assert end == 86_400.0
    assert all(r.at - r.since <= max(2.0, (end - r.at) / 35) for r in records)
    assert (records[0].since, history.dropped) == (0.0, 0)
    assert len(records) < 1300


def test_a_tape_that_is_full_drops_its_oldest_windows() -> None:
    """At the bound of numbers: windows with every bucket filled; what is dropped is counted, the newest stay."""
    full = Sample(BUCKETS, BUCKETS, {"5xx": 0}, with_edges(dict.fromkeys(range(BUCKETS), 1)), UPPER)
    history = WindowHistory()
    for n in range(900):
        history.add(WindowRecord(float(n), n + 1.0, 0.0, n % 2, full, full))
    records = list(history.records())
    assert len(records) + history.dropped == 900
    assert 0.9 * MOST_NUMBERS < sum(4 * BUCKETS + 8 for _ in records) <= MOST_NUMBERS + 4 * BUCKETS + 8
    assert records[-1].at == 900.0


@pytest.mark.parametrize(("at", "every"), [(0, 3), (1, 40), (301, 7), (500, 3), (699, 40)])
def test_a_restart_changes_nothing_on_the_tape(at: int, every: int) -> None:
    """Stored and loaded in the middle, it goes on as if it had not been."""
    once, twice = WindowHistory(), WindowHistory()
    for n in range(700):
        if n == at:
            twice = WindowHistory(twice.lines(), dropped=twice.dropped)
        record = WindowRecord(
            n * 0.5, n * 0.5 + 0.5, 0.0, 500 + n // 250, None if n % every == 0 else sample(3), sample(1)
        )
        once.add(record)
        twice.add(record)
    assert twice.lines() == once.lines()


def test_a_copy_stands_still() -> None:
    """It is stored while the rollout goes on."""
    history, _ = filled(1000)
    recording = Recording("r1", "scorer", "v1", "v2", windows=history)
    still, text = recording.copy(), recording.dump()
    history.add(WindowRecord(200.0, 200.2, 0.0, 500, sample(1), sample(1)))
    recording.trace.add(EvidencePoint(200.0, 0.0, 500, 1.0, {}, {}))
    assert still.dump() == text != recording.dump()


def test_readings_of_merged_windows() -> None:
    """Counts are added up, of values the newest stays; a look at a reading alone does not keep its neighbours apart."""
    history = WindowHistory()
    for n in range(4000):
        read: dict[str, Reading] = {}
        if n % 10 == 0:
            read = {"accuracy": Counted(5, 1, 20, 2), "queue": Gauged(float(n), 1.0, True, 3, 5)}
        side = None if read else sample(3)
        history.add(WindowRecord(n * 0.2, n * 0.2 + 0.2, 0.0, 500, side, side, read))
    records = list(history.records())
    assert len(records) < 1000
    counted = [r.custom["accuracy"] for r in records if "accuracy" in r.custom]
    assert tuple(map(sum, zip(*counted, strict=True))) == (5 * 400, 400, 20 * 400, 800)
    gauges = [r.custom["queue"].canary for r in records if "queue" in r.custom]  # type: ignore[union-attr]
    assert gauges == sorted(gauges)
    assert gauges[-1] == 3990.0


def test_what_an_older_version_recorded_is_read() -> None:
    """Recordings of the first form: without custom metrics, with the pace of their thinning in the head."""
    text = (
        Recording("r1", "scorer", "v1", "v2", windows=filled(10)[0])
        .dump()
        .replace('"format":3', '"format":1,"pace":2.0')
    )
    assert len(list(Recording.load(text).windows.records())) == 10


def test_what_was_recorded_before_groups_of_proxies_is_read() -> None:
    """The second form: a window has six values, or seven with the readings of custom metrics."""
    recording = Recording("r1", "scorer", "v1", "v2", windows=filled(10)[0])
    head, *lines = recording.dump().replace('"format":3', '"format":2').splitlines()
    assert {len(json.loads(line)) for line in lines} == {6}
    lines[3] = lines[3][:-1] + ',{"queue":["of v2: NaN",true]}]'
    records = list(Recording.load("\n".join([head, *lines])).windows.records())
    expected = list(recording.windows.records())
    expected[3] = expected[3]._replace(custom={"queue": Unread("of v2: NaN", True)})
    assert records == expected
    assert [record.strata for record in records] == [()] * 10


def test_groups_of_proxies_are_merged_each_with_itself() -> None:
    """The sums of each hold; windows of other groups stay apart."""
    history = WindowHistory()
    for n in range(3000):
        names = ("", "500") if n < 1500 else ("", "1000")
        groups = tuple(Stratum(name, sample(5), sample(i + 1)) for i, name in enumerate(names))
        history.add(WindowRecord.of(Window.of_strata(n + 1.0, 2500, groups), n * 1.0, n + 1.0, 0.0))
    records = list(WindowHistory(history.lines()).records())
    assert len(records) < 1000
    sums: Counter[str] = Counter()
    for record in records:
        other = "500" if record.at <= 1500 else "1000"
        assert [stratum.name for stratum in record.strata] == ["", other]
        assert record.window.canary == added_up(stratum.canary for stratum in record.strata)
        sums.update({stratum.name: stratum.canary.started for stratum in record.strata if stratum.canary})
    assert sums == {"": 3000, "500": 3000, "1000": 3000}


def test_neither_weights_nor_silence_are_smoothed_away() -> None:
    """A merged window is never of two weights, nor of reports and their absence."""
    history = WindowHistory()
    for n in range(6000):
        weight = 500 if n < 3000 else 1000
        stable = None if n % 100 < 20 else sample(5)
        history.add(WindowRecord(n * 1.0, n + 1.0, n, weight, stable, None if n % 50 < 20 else sample(1)))
    records = list(history.records())
    assert next(r.since for r in records if r.weight == 1000) == 3000.0
    for record in records:
        assert (record.stable is None) == (record.since % 100 < 20)
        assert (record.canary is None) == (record.since % 50 < 20)


def test_what_cannot_be_merged_is_dropped_and_counted() -> None:
    """A weight that changes with every report leaves nothing to merge: the oldest windows go, and it is said."""
    history = WindowHistory()
    for n in range(4000):
        history.add(WindowRecord(n * 1.0, n + 1.0, n, n % 2, sample(1), sample(1)))
    assert len(history.lines()) <= MOST + 1
    assert len(history.lines()) + history.dropped == 4000


def test_silence_is_played_again_as_the_looks_that_found_it() -> None:
    """Reports, then ten seconds of nothing, then reports: the judge is asked in between, as it was."""
    history = WindowHistory()
    history.add(WindowRecord(0.0, 0.2, 0.2, 500, sample(9), sample(1)))
    history.add(WindowRecord(0.2, 0.4, 0.4, 500, None, None))  # another service's report: no silence
    history.add(WindowRecord(0.4, 0.6, 0.6, 500, sample(9), sample(1)))
    for n in range(20):
        history.add(WindowRecord(0.6 + n * 0.5, 1.1 + n * 0.5, 1.0, 500, None, None))
    history.add(WindowRecord(10.6, 10.8, 10.8, 500, sample(9), sample(1)))
    assert len(history.lines()) == 4
    windows = [window for _, window in replay_windows(history.records())]
    assert [round(w.at, 3) for w in windows if w.canary] == [0.2, 0.6, 10.8]
    silent = [w.at for w in windows if w.canary is None]
    assert len(silent) == 20
    assert all(0.4 < b - a < 0.6 for a, b in pairwise(silent))


def test_evidence_that_went_back_takes_the_recording_with_it() -> None:
    """After a crash the judge goes on from its last save; what it had seen since then is not counted twice."""
    history, _ = filled(100)
    history.truncate(10.0)
    assert [r.at for r in history.records()][-1] == 10.0
    history.add(WindowRecord(10.0, 10.2, 0.0, 500, sample(1), sample(1)))
    assert len(list(history.records())) == 51


def test_a_trace_keeps_its_peaks() -> None:
    """However long a rollout is, the highest evidence, the first point and the last are there."""
    trace = EvidenceTrace()
    for n in range(50_000):
        total = 42.0 if n == 7_777 else 1.0
        trace.add(EvidencePoint(float(n), 1e9 + n, 500, total, {"5xx": total}, {}))
    assert len(trace.points) <= MOST_POINTS
    assert max(point.harm["5xx"] for point in trace.points) == 42.0
    assert trace.points[0].time == 0.0
    assert trace.points[-1].time > 50_000 - 2 * trace.pace


def test_a_decision_is_always_a_point() -> None:
    """It comes in the middle of the pace, and it is the one that is asked for."""
    trace = EvidenceTrace()
    trace.add(EvidencePoint(0.0, 0.0, 500, 1.0, {}, {}))
    trace.add(EvidencePoint(0.2, 0.2, 500, 3.0, {}, {}))
    trace.add(EvidencePoint(0.3, 0.3, 500, 2.0, {}, {}))
    trace.add(EvidencePoint(0.4, 0.4, 500, 2.5, {}, {}), keep=True)
    assert [point.total for point in trace.points] == [1.0, 3.0, 2.5]


def test_a_recording_of_another_kind_is_refused() -> None:
    """Anything else than what was written is an error that says so, never half a recording."""
    recording = Recording("r1", "scorer", "v1", "v2", channels=(Reason("5xx", "text", evidence=inf, limit=2.0),))
    text = recording.dump()
    assert Recording.load(text).channels == (Reason("5xx", "text", limit=2.0),)
    for broken in ("", "{}", "[]", "x", text.replace('"format":3', '"format":4'), text.replace('"trace"', '"t"')):
        try:
            Recording.load(broken)
        except ValueError:
            continue
        raise AssertionError(broken[:80])


def test_the_buckets_are_those_of_every_window() -> None:
    """Counts are stored by bucket, so another set of edges is another format."""
    assert (len(EDGES_MS), EDGES_MS[0], EDGES_MS[-1]) == (BUCKETS - 1, 0.5, 60_000.0)
