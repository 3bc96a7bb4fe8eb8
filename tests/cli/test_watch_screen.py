"""The live screen as a person reads it: what must be on it, within 80 columns, and nothing that others could forge."""

import io
import math

import pytest
from rich.console import Console
from rich.text import Text

from controller.cli.text.fitted_table import clip_line
from controller.cli.text.numbers import (
    BAR,
    evidence_bar,
    format_count,
    format_e_value,
    format_milliseconds,
    format_share,
)
from controller.cli.text.watch_screen import LEDGER_LINES, WatchScreen
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NOW = 1_700_000_000.0


def painted(rollout: pb.Rollout, *events: pb.Event, notice: str = "", width: int = 80) -> str:
    """The screen as plain text."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(WatchScreen(rollout, events, NOW, notice))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def progressing(**changed: object) -> pb.Rollout:
    """A rollout of v2 at its second step."""
    fields: dict[str, object] = {
        "service": "fraud-scorer",
        "stable": "v1",
        "canary": "v2",
        "phase": "PROGRESSING",
        "step": 1,
        "steps": [500, 1000, 2500, 5000],
        "weights": {"v1": 9000, "v2": 1000},
        "verdict": "unknown",
        "reasons": [
            "5xx: canary 4 of 1204, stable 38 of 12388",
            "the canary is warming up",
            "23 s of the dwell at 10% are left",
        ],
        "blocker": pb.Blocker(kind="dwell", text="23 s of the dwell at 10% are left"),
        "proxies_synced": 2,
        "proxies_total": 3,
        "started_at": NOW - 300,
        "details": [
            pb.ReasonInfo(
                code="insufficient",
                channel="latency_p99",
                margin=0.08,
                text="5xx: canary 4 of 1204, stable 38 of 12388",
                canary=0.0033,
                stable=0.0031,
                canary_n=1204,
                stable_n=12388,
                evidence=3.2,
                limit=100,
                needed=340,
            ),
            pb.ReasonInfo(code="warming", text="the canary is warming up"),
        ],
        "traffic": {
            "v1": pb.Traffic(requests_per_second=92.1, error_rate=0.0031, p50_ms=11.8, p99_ms=44.9, requests=12388),
            "v2": pb.Traffic(requests_per_second=10.2, error_rate=0.0033, p50_ms=12.1, p99_ms=1480, requests=1204),
        },
    }
    return pb.Rollout(**{**fields, **changed})


def row(text: str, begins: str) -> str:
    """The line of the screen that begins so."""
    return next(line for line in text.splitlines() if line.startswith(begins))


def test_both_versions_stand_side_by_side() -> None:
    """Share, rate, errors, percentiles and counts of canary and stable, each in its row."""
    text = painted(progressing())
    assert " ".join(row(text, "v2 canary").split()) == "v2 canary 10% 10.2 0.33% 12.1 ms 1.5 s 1204 0"
    assert " ".join(row(text, "v1 stable").split()) == "v1 stable 90% 92.1 0.31% 11.8 ms 44.9 ms 12.4k 0"


def test_a_shadow_step_is_the_first_of_the_steps() -> None:
    """It has no weight, and is named."""
    shadow = progressing(step=0, steps=[0, 500, 1000], weights={"v1": 10_000, "v2": 0})
    assert "shadow  5%  10%" in painted(shadow)


def test_the_evidence_stands_beside_its_limit() -> None:
    """Each channel: both rates with their counts, how far the evidence is, and how many requests are still needed."""
    line = " ".join(row(painted(progressing()), "  latency_p99").split())
    assert line == "latency_p99 < +8pp 0.33% 1204 0.31% 12.4k ██░░░░░░░░ 3.2 of 100 340"
    harm = pb.ReasonInfo(code="5xx", channel="5xx", canary=0.2, canary_n=300, evidence=240, limit=100)
    line = " ".join(row(painted(progressing(verdict="harm", details=[harm])), "  harm").split())
    assert line == "harm, 5xx 20% 300 0% 0 ██████████ 240 of 100"


def test_first_tokens_stand_beside_the_percentiles_where_there_are_any() -> None:
    """Of a service that does not stream there is no column; a version without any has a dash."""
    assert "ttft" not in painted(progressing())
    stable = pb.Traffic(requests_per_second=92.1, p50_ms=9800, p99_ms=20000, ttft_p50_ms=310, ttft_p99_ms=780)
    rollout = progressing(traffic={"v1": stable, "v2": pb.Traffic(requests_per_second=1.0)})
    text = painted(rollout, width=100)
    assert "p99 ttft p50 ttft p99 requests" in " ".join(text.split())
    assert "20.0 s 310 ms 780 ms" in " ".join(row(text, "v1").split())
    assert row(text, "v2").split()[-4:-2] == ["-", "-"]
    assert "ttft p99" in painted(rollout)


def test_endpoints_that_are_out_stand_beside_the_counts() -> None:
    """For each version, where any are; a version that no proxy reports on has a dash."""
    whole = pb.EndpointHealth(healthy=3, total=3)
    assert "healthy" not in painted(progressing(endpoints={"v1": whole, "v2": whole}), width=100)
    text = painted(progressing(endpoints={"v1": pb.EndpointHealth(healthy=1, total=3)}), width=100)
    assert (row(text, "v1").split()[-1], row(text, "v2").split()[-1]) == ("1/3", "-")


@pytest.mark.parametrize(("phase", "left", "shown"), [("ROLLED_BACK", 7, True), ("ROLLED_BACK", 0, False)])
def test_what_drains_stands_beside_the_counts(phase: str, left: int, shown: bool) -> None:
    """A canary that is rolled back, as long as it has requests in progress."""
    traffic = {"v1": pb.Traffic(requests=3, in_progress=2), "v2": pb.Traffic(requests=4, in_progress=left)}
    text = painted(progressing(phase=phase, traffic=traffic), width=100)
    assert ("in progress" in text) is shown
    assert not shown or row(text, "v2").split()[-1] == str(left)
    assert "in progress" not in painted(progressing(traffic=traffic), width=100)


def test_what_is_known_of_the_canary_stands_beside_the_evidence() -> None:
    """The bound, above stable; no column where nothing is known."""
    known = pb.ReasonInfo(code="insufficient", channel="5xx", evidence=3, limit=20, margin=0.08, bound=0.0041)
    line = " ".join(row(painted(progressing(details=[known])), "  5xx").split())
    assert line == "5xx < +8pp 0% 0 0% 0 ███░░░░░░░ 3 of 20 +0.41pp"
    assert "at most" not in painted(progressing())


def test_what_proxies_cannot_report_is_shown_beside_the_evidence() -> None:
    """As a sentence: it is a condition."""
    said = "1 of 3 proxies cannot report broken responses (edge-2): there they count as good"
    known = pb.ReasonInfo(code="insufficient", channel="5xx", evidence=3, limit=20, margin=0.08)
    text = painted(progressing(details=[known, pb.ReasonInfo(code="broken_unseen", text=said)]))
    assert f" {said} " in " ".join(text.split())


def test_the_blocker_is_shown_once() -> None:
    """What automation waits for is the next thing to happen; the grounds of the verdict are not repeated there."""
    text = painted(progressing())
    assert row(text, "next").split(maxsplit=1)[1] == "25%: 23 s of the dwell at 10% are left"
    assert "5xx: canary 4" not in text
    assert "the canary is warming up" in text
    assert "2/3 proxies in sync" in text


def test_what_blocks_is_shown_with_what_a_person_can_do() -> None:
    """The sentence is the controller's, the command is the command line's; nothing, while evidence is what lacks."""
    suppressed = pb.Blocker(kind="freeze", text="rollback suppressed by the freeze of anna (incident 42)")
    text = painted(progressing(verdict="harm", blocker=suppressed))
    assert row(text, "next").split(maxsplit=1)[1] == "rollback suppressed by the freeze of anna (incident 42)"
    text = painted(progressing(step=3, blocker=pb.Blocker(kind="evidence")))
    assert row(text, "next").split(maxsplit=1)[1] == "promotion, once the canary is proven to do no harm"
    blocker = pb.Blocker(kind="no_healthy_upstream", text="not rolled back: v1 has no healthy endpoint")
    text = " ".join(painted(progressing(verdict="harm", blocker=blocker)).split())
    assert "not rolled back: v1 has no healthy endpoint; `haldane rollback --force` goes there all the same" in text


def test_a_freeze_cannot_be_overlooked() -> None:
    """Whose, why, and how long it still holds, above everything else."""
    freeze = pb.FreezeInfo(scope="*", reason="incident 42", who="anna", since=NOW - 60, until=NOW + 1700)
    text = " ".join(painted(progressing(freezes=[freeze])).split())
    assert "FROZEN (all services) by anna" in text
    assert "28m 20s left: incident 42" in text
    held = pb.FreezeInfo(scope="fraud-scorer", reason="x", who="anna", since=NOW, mode="hold")
    text = " ".join(painted(progressing(freezes=[held])).split())
    assert "ON HOLD (fraud-scorer) by anna" in text
    assert "until it is lifted" in text


def test_a_service_without_a_rollout_has_a_screen_too() -> None:
    """IDLE: all traffic on the stable, no canary, nothing to judge."""
    text = painted(pb.Rollout(service="x", stable="v1", phase="IDLE", weights={"v1": 10000}))
    assert "IDLE" in text
    assert "no proxy is connected" in text
    assert row(text, "v1 stable").split()[2] == "100%"


def test_the_watch_over_stable_goes_on_after_a_rollout() -> None:
    """Nothing is awaited any more; what the watch over stable says has its own lines."""
    text = painted(progressing(phase="ROLLED_BACK", stable_verdict="harm", stable_reasons=["5% errors, allowed 1%"]))
    assert "next" not in text
    assert row(text, "stable  HARM")
    assert "  5% errors, allowed 1%" in text


def test_the_fallback_has_a_row_and_a_banner() -> None:
    """All traffic on a fixed response is said on top, and stands in the table."""
    weights = {"(fixed response)": 10000}
    text = painted(progressing(weights=weights, diverted="both versions are down"))
    assert "ON THE FALLBACK: both versions are down" in text
    assert "100%" in row(text, "(fixed response)")


def test_the_ledger_is_shown_newest_first() -> None:
    """The last lines with what they moved; a screen that is too low loses the oldest."""
    events = [
        pb.Event(sequence=i, at=NOW, kind="step_advanced", who="haldane", why="passed", weights_after={"v2": 100 * i})
        for i in range(1, LEDGER_LINES + 4)
    ]
    lines = [line for line in painted(progressing(), *events).splitlines() if "step_advanced" in line]
    assert len(lines) == LEDGER_LINES
    assert f"#{len(events)} step_advanced [v2 0% > {len(events)}%] by haldane: passed" in lines[0]


@pytest.mark.parametrize("width", [80, 60, 200])
def test_the_screen_fits_its_width(width: int) -> None:
    """However long names and reasons are, no line is wider than the terminal; a figure is left out, never cut."""
    long = "x" * 63
    rollout = progressing(
        service=long,
        canary=long,
        weights={"v1": 9000, long: 1000},
        traffic={long: pb.Traffic(requests_per_second=12345.6, error_rate=0.00123, requests=123456789, errors=1234567)},
        phase_reason="y" * 500,
    )
    text = painted(rollout, pb.Event(sequence=1, kind="k", why="z" * 300), notice="n" * 200, width=width)
    assert max(map(len, text.splitlines())) <= width
    shown = row(text, "xxxxxxxx").split(" canary ")[1].split()
    figures = ["10%", "12,346", "0.12%", "0.0 ms", "0.0 ms", "123.5M", "1.2M"]
    assert shown == " ".join(figures).split() if width >= 80 else set(shown) < set(" ".join(figures).split())


@pytest.mark.parametrize("width", range(50, 81))
def test_no_width_cuts_a_number(width: int) -> None:
    """What stands on 80 columns stands there in full on fewer, or not at all: "236 of 20" never becomes "23"."""
    details = [
        pb.ReasonInfo(code="5xx", channel="overdue", canary=0.31, canary_n=2361, evidence=236, limit=20),
        pb.ReasonInfo(code="x", channel="latency_p99", margin=0.085, canary_n=9999, evidence=17, limit=20, needed=7350),
    ]
    whole = set(painted(progressing(details=details)).split())
    text = painted(progressing(details=details), width=width)
    assert "236 of 20" in text
    assert "17 of 20" in text
    assert "+8.5pp" in text
    assert {word for word in text.split() if word[0].isdigit()} <= whole


def test_the_screen_fills_the_height_that_it_has() -> None:
    """A tall terminal shows more of the ledger, a low one less, and neither more lines than it has."""
    events = [pb.Event(sequence=i, at=NOW, kind="step_advanced", who="haldane", why="passed") for i in range(1, 101)]
    for height in (18, 24, 50):
        console = Console(file=io.StringIO(), width=80, height=height, force_terminal=False)
        options = console.options.update(height=height)
        lines = ["".join(segment.text for segment in line) for line in console.render_lines(screen(events), options)]
        assert len(lines) == height
        assert "step_advanced" in lines[-1]
        assert any("evidence of" in line for line in lines)


def screen(events: list[pb.Event]) -> WatchScreen:
    """The screen of a rollout with these ledger lines."""
    return WatchScreen(progressing(), events, NOW)


def test_a_line_that_is_too_long_is_cut_between_words() -> None:
    """Half a number is a wrong number."""
    assert clip_line(Text("canary 1 of 24417 failed"), 16).plain == "canary 1 of…"
    assert clip_line(Text("canary 1 of 24417"), 17).plain == "canary 1 of 24417"


def test_text_of_others_cannot_steer_the_terminal() -> None:
    """A reason with escape sequences or markup is shown as text: nobody clears or colours another's screen."""
    hostile = "\x1b[2J\x1b]0;owned\x07[bold red]x[/]\nnext line"
    freeze = pb.FreezeInfo(scope="*", reason=hostile, who=hostile)
    text = painted(
        progressing(phase_reason=hostile, reasons=[hostile], freezes=[freeze]),
        pb.Event(sequence=1, kind="k", who=hostile, why=hostile),
        width=300,
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold red]x[/]" in text


@pytest.mark.parametrize(
    ("evidence", "limit", "full"),
    [(0.0, 100.0, 0), (1.0, 100.0, 0), (10.0, 100.0, 5), (99.0, 100.0, 9), (100.0, 100.0, 10), (math.inf, 100.0, 10)],
)
def test_the_bar_is_full_only_at_the_limit(evidence: float, limit: float, full: int) -> None:
    """Evidence is shown by orders of magnitude; the bar is full exactly when the limit is reached."""
    assert evidence_bar(evidence, limit) == "█" * full + "░" * (BAR - full)


def test_figures_are_short() -> None:
    """Shares keep small rates apart, times change their unit, counts and e-values are rounded to what is read."""
    assert [format_share(v) for v in (0, 0.0001, 0.0035, 0.05, 0.5, 1)] == ["0%", "0.01%", "0.35%", "5%", "50%", "100%"]
    assert [format_milliseconds(v) for v in (0.4, 12.34, 340.2, 2500, math.inf)] == [
        "0.4 ms",
        "12.3 ms",
        "340 ms",
        "2.5 s",
        ">1 h",
    ]
    assert [format_count(v) for v in (0, 9999, 12388, 3_100_000)] == ["0", "9999", "12.4k", "3.1M"]
    assert [format_e_value(v) for v in (0.04, 3.2, 100, 2100, 1e9)] == ["0.04", "3.2", "100", "2,100", "1e+09"]
