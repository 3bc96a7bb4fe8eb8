"""`haldane judge`: reports in, decisions out, one line for each at once; a wrong line is named, never a traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from math import inf
from pathlib import Path

import pytest

from controller.cli.commands.judge import run_judge
from controller.cli.failure import Failure
from controller.core.model.service import LatencyPolicy, Policy, Shadow
from controller.simulation.report_lines import BadReport, read_report
from tests.judge.driving import service_for

POLICY = Policy(steps=(2000, 5000), dwell=2, warmup=2, bake=3)
GOOD: dict[str, object] = {"started": 80, "ok": 80, "errors": {"5xx": 0}, "latency": [[5.0, 60], [None, 20]]}
BAD: dict[str, object] = {"started": 20, "ok": 10, "errors": {"5xx": 10}, "latency": [[5.0, 20], [None, 0]]}
FILE = """
service: fraud-scorer
listen: {port: 10000}
versions:
  v1: {endpoints: ["127.0.0.1:9001"]}
  v2: {endpoints: ["127.0.0.1:9002"]}
stable: v1
policy: {steps: [20%, 50%], dwell: 2s, warmup: 2s, bake: 3s}
"""


def answers(n: int) -> dict[str, object]:
    return {"started": n, "ok": n, "errors": {"5xx": 0, "4xx": 0}, "latency": [[5.0, n], [5.5, 0], [None, 0]]}


def line(t: float, stable: object = GOOD, canary: object = GOOD, **more: object) -> bytes:
    return json.dumps({"t": t, "stable": stable, "canary": canary, **more}).encode() + b"\n"


def judged(*lines: bytes, runs: int = 1) -> list[dict[str, object]]:
    out = StringIO()
    run_judge(lines, out, service_for(POLICY), runs)
    return [json.loads(answer) for answer in out.getvalue().splitlines()]


def timed(n: int, first: object, latency: object = None) -> dict[str, object]:
    more = {} if latency is None else {"latency": latency}
    return {"started": n, "ok": n, "errors": {"5xx": 0, "4xx": 0}, "ttft": first, **more}


def test_in_a_shadow_step_the_weight_is_0_and_the_canary_has_copies() -> None:
    """The caller reports them as the canary's requests, beside all of stable's, until a weight is printed."""
    policy = Policy(steps=(0, 2000), shadow=Shadow(dwell=5, share=2500), dwell=2, warmup=2, bake=3, patience=0)
    out = StringIO()
    lines = [line(float(t), answers(400), answers(100)) for t in range(1, 200)]
    run_judge(lines, out, service_for(policy), 1)
    printed = [json.loads(answer) for answer in out.getvalue().splitlines()]
    first = next(i for i, answer in enumerate(printed) if answer["weight"])
    assert first >= 5
    assert {(answer["weight"], answer["decision"]) for answer in printed[:first]} == {(0, "hold")}
    assert (printed[first]["weight"], printed[first]["decision"]) == (2000, "advance")


@pytest.mark.parametrize("streaming", [True, False])
def test_first_tokens_are_judged_where_the_service_streams(streaming: bool) -> None:
    """A canary that is as fast as stable in the whole, and late with its first token; elsewhere that is ignored."""
    latency = LatencyPolicy(tolerance=None, ttft_tolerance=0.1) if streaming else LatencyPolicy()
    out = StringIO()
    policy = Policy(steps=(2000, 5000), dwell=2, warmup=2, patience=0, bake=3, latency=latency)
    whole = [[900.0, 40], [1000.0, 40], [None, 0]]
    soon = timed(80, [[200.0, 40], [220.0, 40], [400.0, 0]], whole)
    late = timed(20, [[200.0, 0], [220.0, 0], [400.0, 20]], [[900.0, 10], [1000.0, 10], [None, 0]])
    run_judge([line(float(t), soon, late) for t in range(1, 41)], out, service_for(policy))
    told = [json.loads(answer) for answer in out.getvalue().splitlines()]
    assert any(answer["decision"] == "rollback" for answer in told) == streaming
    if streaming:
        harm = next(answer for answer in told if answer["decision"] == "rollback")
        assert harm["reasons"][0].startswith("ttft")


def test_first_tokens_have_the_form_of_latency() -> None:
    """Rising edges and counts; without latency their edges are the known ones."""
    [stratum] = read_report(line(1.0, timed(3, [[5.0, 1], [9.0, 0], [None, 2]]))).strata
    assert stratum.stable
    assert (stratum.stable.ttft, stratum.stable.edges) == (((5.0, 1), (inf, 2)), (5.0, 9.0, inf))
    with pytest.raises(BadReport, match=r"stable\.ttft\[1\]\[0\]: edges must rise"):
        read_report(line(1.0, timed(1, [[9.0, 1], [5.0, 1]])))


def test_a_good_canary_goes_all_the_way() -> None:
    """Through warm-up, steps, promotion and bake; one answer for each line, with the weight to be served next."""
    out = StringIO()

    def traffic() -> Iterator[bytes]:
        for t in range(1, 61):
            told = out.getvalue().splitlines()
            n = (json.loads(told[-1])["weight"] if told else 2000) // 50
            yield line(float(t), answers(200 - n), answers(n))

    run_judge(traffic(), out, service_for(POLICY))
    told = [json.loads(answer) for answer in out.getvalue().splitlines()]
    assert len(told) == 60
    assert list(told[0]) == ["t", "decision", "phase", "weight", "verdict", "reasons"]
    moves = [(answer["decision"], answer["weight"]) for answer in told if answer["decision"] != "hold"]
    assert moves == [("advance", 5000), ("promote", 9500)]
    phases = list(dict.fromkeys(answer["phase"] for answer in told))
    assert phases == ["WARMING", "PROGRESSING", "PROMOTING", "BAKING", "PROMOTED"]
    weights = {phase: {answer["weight"] for answer in told if answer["phase"] == phase} for phase in phases}
    assert (weights["BAKING"], weights["PROMOTED"]) == ({9500}, {10_000})
    assert all(answer["reasons"] for answer in told)


def test_a_bad_canary_falls_within_its_first_seconds() -> None:
    """Half of its answers are errors, second after second: rolled back once it is no single event, weight 0 from then
    on."""
    answers = judged(*(line(float(t), canary=BAD) for t in range(1, 6)))
    assert [a["decision"] for a in answers] == ["hold", "hold", "hold", "rollback", "hold"]
    found, after = answers[3:]
    assert (found["phase"], found["weight"], found["verdict"]) == ("ROLLING_BACK", 0, "harm")
    assert "40 of 80" in str(found["reasons"])
    assert (after["phase"], after["weight"]) == ("ROLLED_BACK", 0)


def test_one_bad_second_is_one_event() -> None:
    """However many requests failed in it, in one report or in ten."""
    whole = judged(line(1.0), line(2.0, canary=BAD), *(line(float(t)) for t in range(3, 9)))
    tenths = judged(
        line(1.0), *(line(1.0 + t / 10, canary=BAD) for t in range(1, 11)), *(line(float(t)) for t in range(3, 9))
    )
    assert {a["decision"] for a in (*whole, *tenths)} <= {"hold", "advance"}


def test_runs_are_judged_apart() -> None:
    """Several rollouts in one process: each line names its own, each is answered for itself."""
    bad = [line(float(t), canary=BAD, run=3) for t in range(1, 5)]
    answers = judged(line(1.0, run=7), *bad, line(2.0, run=7), line(0.5, run=9), runs=3)
    assert [a["run"] for a in answers] == [7, 3, 3, 3, 3, 7, 9]
    assert [a["decision"] for a in answers] == ["hold", "hold", "hold", "hold", "rollback", "hold", "hold"]


def test_missing_reports_are_no_zeros() -> None:
    """Null is 'no report': both sides, one side, for long."""
    answers = judged(line(1.0), *(line(1.0 + t, None, None) for t in range(1, 30)))
    assert {a["decision"] for a in answers} == {"hold"}
    assert "blind" in str(answers[-1]["reasons"])


BAD_LINES = {
    "not JSON": (b"{oops", ""),
    "cut off": (line(1.0)[:-20], ""),
    "not an object": (b"[1, 2]", ""),
    "not UTF-8": (b"\xff\xfe{}", ""),
    "deeply nested": (b"[" * 100_000, ""),
    "no time": (b'{"stable": null, "canary": null}', "t"),
    "time as text": (line("1"), "t"),  # type: ignore[arg-type]
    "time not a number": (b'{"t": NaN, "stable": null, "canary": null}', "t"),
    "time too large": (b'{"t": 1e400, "stable": null, "canary": null}', "t"),
    "time as truth": (b'{"t": true, "stable": null, "canary": null}', "t"),
    "no canary": (b'{"t": 1, "stable": null}', "canary"),
    "unknown key": (line(1.0, colour="red"), "colour"),
    "key twice": (b'{"t": 1, "t": 2, "stable": null, "canary": null}', "t"),
    "side as number": (line(1.0, canary=5), "canary"),
    "no ok": (line(1.0, canary={"started": 1}), "canary.ok"),
    "negative count": (line(1.0, canary={**GOOD, "started": -1}), "canary.started"),
    "half a request": (line(1.0, stable={**GOOD, "ok": 1.5}), "stable.ok"),
    "count as truth": (line(1.0, stable={**GOOD, "ok": True}), "stable.ok"),
    "enormous count": (line(1.0, stable={**GOOD, "ok": 10**30}), "stable.ok"),
    "unknown error class": (line(1.0, stable={**GOOD, "errors": {"3xx": 1}}), "stable.errors.3xx"),
    "errors as list": (line(1.0, stable={**GOOD, "errors": [1]}), "stable.errors"),
    "latency as text": (line(1.0, stable={**GOOD, "latency": "fast"}), "stable.latency"),
    "half a bucket": (line(1.0, stable={**GOOD, "latency": [[5.0]]}), "stable.latency[0]"),
    "falling edges": (line(1.0, stable={**GOOD, "latency": [[5.0, 1], [4.0, 1]]}), "stable.latency[1][0]"),
    "infinity first": (line(1.0, stable={**GOOD, "latency": [[None, 1], [4.0, 1]]}), "stable.latency[0][0]"),
    "negative edge": (line(1.0, stable={**GOOD, "latency": [[-1, 1]]}), "stable.latency[0][0]"),
    "bucket of minus one": (line(1.0, stable={**GOOD, "latency": [[5.0, -1]]}), "stable.latency[0][1]"),
    "run as text": (line(1.0, run="a"), "run"),
    "half a request in progress": (line(1.0, stable={**GOOD, "in_progress": 0.5}), "stable.in_progress"),
    "nothing in progress": (line(1.0, stable={**GOOD, "in_progress": None}), "stable.in_progress"),
    "less than none cancelled": (line(1.0, canary={**GOOD, "cancelled": -1}), "canary.cancelled"),
    "broken as truth": (line(1.0, canary={**GOOD, "errors": {"broken": True}}), "canary.errors.broken"),
}


@pytest.mark.parametrize(("bad", "field"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_line_that_cannot_be_understood_names_its_field(bad: bytes, field: str) -> None:
    """Every mistake is refused with the field it is in; what came before is answered."""
    with pytest.raises(BadReport) as refused:
        read_report(bad)
    assert refused.value.field == field
    out = StringIO()
    with pytest.raises(Failure, match=r"^line 2: ") as failure:
        run_judge([line(1.0), bad], out, service_for(POLICY))
    assert failure.value.status == 2
    assert len(out.getvalue().splitlines()) == 1


LATENCY = {
    "edges that fall": [[5.0, 1], [4.0, 1]],
    "the same edge twice": [[5.0, 1], [5.0, 1]],
    "no edge at all": [[None, 1], [5.0, 1]],
    "an edge of zero": [[0, 1]],
    "an edge that is true": [[True, 1]],
    "an edge without end": [[10**400, 1]],
    "a count of half": [[5.0, 0.5]],
    "a count that is true": [[5.0, True]],
    "a count below zero": [[5.0, -1], [6.0, 1]],
    "a count without end": [[5.0, 10**13]],
    "a bucket of one": [[5.0, 1], [6.0]],
    "a bucket that is none": [[5.0, 1], {"6.0": 1}],
}


@pytest.mark.proves("track-record 22")
@pytest.mark.parametrize("latency", LATENCY.values(), ids=LATENCY.keys())
def test_a_wrong_bucket_is_found_among_right_ones_that_were_read_before(latency: list[object]) -> None:
    """Buckets are read all at once where nothing is wrong; what is wrong is still named, each time."""
    assert read_report(line(1.0)).strata[0].canary
    for _ in range(2):
        with pytest.raises(BadReport) as refused:
            read_report(line(1.0, canary={"started": 2, "ok": 2, "latency": latency}))
        assert refused.value.field.startswith("canary.latency[")


def test_how_requests_end_is_read() -> None:
    """Broken responses are failures of the server, cancelled requests are no responses; both may be left out."""
    ends = {"started": 30, "ok": 20, "errors": {"5xx": 1, "4xx": 2, "broken": 3}, "in_progress": 7, "cancelled": 4}
    (read,) = read_report(line(1.0, canary=ends)).strata
    assert read.canary
    assert read.stable
    assert (read.canary.answered, read.canary.failed, read.canary.client_errors) == (26, 4, 2)
    assert (read.canary.in_progress, read.canary.cancelled) == (7, 4)
    assert (read.stable.in_progress, read.stable.cancelled) == (None, 0)


def test_a_canary_that_breaks_its_answers_falls_like_one_that_refuses_them() -> None:
    """The class makes no difference to the evidence. The reason says so of what looks good elsewhere."""
    told = []
    for kind in ("5xx", "broken"):
        out = StringIO()
        bad = {**BAD, "errors": {kind: 10}}
        run_judge([line(float(n), stable=GOOD, canary=bad) for n in range(1, 9)], out, service_for(POLICY))
        told.append(out.getvalue())
    broke_off = re.compile(r" \(\d+ responses of the canary broke off after the headers\)")
    assert [len(broke_off.findall(each)) > 0 for each in told] == [False, True]
    assert told[0] == broke_off.sub("", told[1])
    assert '"rollback"' in told[0]


def test_buckets_are_read_as_they_stand() -> None:
    """Whole and broken edges, the last one without end, none at all; of empty ones the edge alone is kept."""
    for latency in ([[5, 1], [5.5, 0], [None, 2]], [[7.5, 3]], [[7.5, 0]], []):
        read = read_report(line(1.0, canary={"started": 3, "ok": 3, "latency": latency})).strata[0].canary
        buckets = [(float("inf") if edge is None else edge, count) for edge, count in latency]
        assert read
        assert read.latency == tuple(bucket for bucket in buckets if bucket[1])
        assert read.edges == tuple(edge for edge, _ in buckets)


def test_who_names_a_run_is_answered_with_it() -> None:
    """Also when there is only one, so that a caller need not know how many there are."""
    assert [answer.get("run") for answer in judged(line(1.0, run=0), line(2.0))] == [0, None]
    assert [answer.get("run") for answer in judged(line(1.0, run=4), line(2.0), runs=2)] == [4, 0]


def test_time_goes_on_and_runs_are_counted() -> None:
    """A line from the past and one run too many are named too; an empty line is none."""
    with pytest.raises(Failure, match="line 2: t: time goes on"):
        judged(line(5.0), line(4.0))
    with pytest.raises(Failure, match="line 2: run: "):
        judged(line(1.0, run=0), line(1.0, run=1))
    assert len(judged(line(1.0), b"\n", line(2.0))) == 2


@pytest.fixture
def filtering(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running `haldane judge`."""
    path = tmp_path / "service.yaml"
    path.write_text(FILE)
    command = [sys.executable, "-m", "controller", "judge", "-f", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_it_answers_each_line_before_the_next_is_written(filtering: subprocess.Popen[bytes]) -> None:
    """The caller serves the weight that is printed, so an answer must not wait for more input; then a bad line ends it
    with exit code 2 and one line of words."""
    assert filtering.stdin is not None
    assert filtering.stdout is not None
    assert filtering.stderr is not None
    for t in (1.0, 2.0):
        filtering.stdin.write(line(t))
        filtering.stdin.flush()
        answer = json.loads(filtering.stdout.readline())
        assert (answer["t"], answer["weight"]) == (t, 2000)
    filtering.stdin.write(line(3.0, canary={"started": 1, "ok": "x"}))
    filtering.stdin.close()
    assert filtering.wait(timeout=20) == 2
    told = filtering.stderr.read().decode()
    assert told.startswith("error: line 3: canary.ok: ")
    assert "Traceback" not in told


def test_a_service_without_a_canary_cannot_be_judged(tmp_path: Path) -> None:
    """One version, a broken file, no file: said in words, exit code 2."""
    lonely = tmp_path / "lonely.yaml"
    lonely.write_text(FILE.replace('  v2: {endpoints: ["127.0.0.1:9002"]}\n', ""))
    broken = tmp_path / "broken.yaml"
    broken.write_text(FILE + "colour: red\n")
    for path in (lonely, broken, tmp_path / "missing.yaml"):
        command = [sys.executable, "-m", "controller", "judge", "-f", str(path)]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
        assert done.returncode == 2
        assert b"error: " in done.stderr
        assert b"Traceback" not in done.stderr
