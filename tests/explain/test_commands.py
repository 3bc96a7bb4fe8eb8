"""`haldane backtest` and `haldane explain`, against an admin door."""

import json
import zlib
from pathlib import Path

import pytest
from rich.console import Console

from controller.cli.text.explanation import render_explanation
from controller.core.history.recording import Recording
from controller.core.history.window_record import WindowRecord
from controller.core.model.rollout import Phase
from controller.core.traffic.readings import Gauged, Reading, Unread
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane
from tests.explain.rollouts import recorded
from tests.support.loop_harness import LoopHarness, tick_until


class TestBacktest:
    """`haldane backtest`, against an admin door."""

    @pytest.fixture
    async def recording(self, harness: LoopHarness) -> Recording:
        """Of a rollout with 20 % of errors."""
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.2)
        return await recorded(harness)

    @pytest.fixture
    def line(self, scorer: Path, haldane: Haldane, server: AdminServer, recording: Recording) -> int:
        """A ledger line of a rollout of which that recording is kept."""
        haldane("start", "scorer", "--canary", "v2")
        event = haldane("events", "scorer", "-o", "json").document["events"][-1]
        recording.rollout_id = event["details"]["rollout"]
        server.do(server.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        return int(event["sequence"])

    def test_it_says_whether_and_when(self, line: int, scorer: Path, haldane: Haldane, tmp_path: Path) -> None:
        """In words for people, in numbers for programs."""
        text = haldane("backtest", "--from", str(line), "-f", str(scorer))
        assert (text.code, text.err) == (0, "")
        assert "it would have fired after" in text.out
        assert "on 5xx; really it did not" in text.out
        told = haldane("backtest", "--from", str(line), "-f", str(scorer), "-o", "json").document
        assert (told["fired"], told["channel"], told["phase"]) == (True, "5xx", "ROLLING_BACK")
        assert told["decisions"][-1]["kind"] == "rollback"
        assert told["really"][0]["kind"] == "rollout_started"
        wide = tmp_path / "wide.yaml"
        wide.write_text(scorer.read_text() + "policy: {errors: {margin: 50%, max: 90%}}\n")
        calm = haldane("backtest", "--from", str(line), "-f", str(wide))
        assert "it would not have fired: the evidence of harm reached" in calm.out

    def test_what_is_not_on_record_is_said(
        self, line: int, recording: Recording, scorer: Path, haldane: Haldane, server: AdminServer
    ) -> None:
        """A metric that nobody read then, and a time that nobody saw: left out of the judgement, not of the answer."""
        recording.windows.truncate(3.0)
        last = list(recording.windows.records())[-1]
        gauge: dict[str, Reading] = {"queue": Gauged(4.0, None, True, 3, 5), "labels": Unread("of v2: NaN")}
        recording.windows.add(
            WindowRecord(last.at + 20.0, last.at + 21.0, last.wall + 21.0, 500, last.stable, last.canary, gauge)
        )
        server.do(server.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        scorer.write_text(scorer.read_text() + "policy: {metrics: [{name: tokens}, {name: queue}, {name: labels}]}\n")
        text = haldane("backtest", "--from", str(line), "-f", str(scorer)).out
        assert "20s of it are missing" in text
        assert "left out, since nothing is on record: tokens; what would have come of it is not known" in text
        told = haldane("backtest", "--from", str(line), "-f", str(scorer), "-o", "json").document
        assert (told["left_out"], told["missing_seconds"]) == (["tokens"], 20.0)

    def test_what_cannot_be_judged_is_refused(self, line: int, scorer: Path, haldane: Haldane, tmp_path: Path) -> None:
        """No such line, a line of no rollout, a file that is none: each is said, with the exit code of its kind."""
        haldane("freeze", "--all", "--reason", "incident 42")
        for sequence, said in ((99, "no line 99"), (line + 1, "freeze_set) is of no rollout")):
            refused = haldane("backtest", "--from", str(sequence), "-f", str(scorer))
            assert refused.code == 4
            assert said in refused.err
        broken = tmp_path / "broken.yaml"
        broken.write_text("service: x\n")
        assert haldane("backtest", "--from", str(line), "-f", str(broken)).code == 2
        assert haldane("backtest", "--from", "0", "-f", str(scorer)).code == 2

    def test_a_rollout_whose_record_is_gone(self, scorer: Path, haldane: Haldane) -> None:
        """It was never recorded, or is no longer kept: that is said, and the code is that of what is not there."""
        haldane("start", "scorer", "--canary", "v2")
        refused = haldane("backtest", "--from", "2", "-f", str(scorer))
        assert (refused.code, "not kept" in refused.err) == (4, True)


@pytest.mark.proves("track-record 61")
class TestExplain:
    """`haldane explain`, against an admin door."""

    def test_before_any_rollout_there_is_nothing_to_explain(self, scorer: Path, haldane: Haldane) -> None:
        """Unknown services and services without a rollout are told apart."""
        assert haldane("explain", "nobody").code == 4
        assert haldane("explain", "scorer").code == 5

    def test_without_a_record_the_decisions_are_told(self, scorer: Path, haldane: Haldane) -> None:
        """The ledger is there whatever became of the recording, and the lack of one is said."""
        haldane("start", "scorer", "--canary", "v2", "--reason", "better recall")
        told = haldane("explain", "scorer")
        assert (told.code, told.err) == (0, "")
        assert "no evidence over time: its evidence was not recorded" in told.out
        assert "better recall" in told.out
        assert "from the ledger" not in told.out
        document = haldane("explain", "scorer", "-o", "json").document
        assert (document["history"], document["decided"], document["canary"]) == ([], "", "v2")

    @pytest.mark.proves("track-record 57")
    @pytest.mark.parametrize("columns", [60, 80])
    def test_no_line_is_wider_than_the_columns_that_were_asked_for(
        self, scorer: Path, haldane: Haldane, monkeypatch: pytest.MonkeyPatch, columns: int
    ) -> None:
        """COLUMNS counts where the output is no terminal too; without it lines have 100 columns at most."""
        haldane("start", "scorer", "--canary", "v2", "--reason", "better recall, " * 20)
        widest = {}
        for given in ("", str(columns)):
            monkeypatch.setenv("COLUMNS", given)
            widest[given] = max(map(len, haldane("explain", "scorer").out.splitlines()))
        assert 80 < widest[""] <= 100
        assert widest[str(columns)] <= columns

    def test_columns_of_no_sense_take_nothing_away(
        self, scorer: Path, haldane: Haldane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """COLUMNS=0, as some terminals say it, does not make an empty answer."""
        haldane("start", "scorer", "--canary", "v2", "--reason", "better recall")
        for columns in ("0", "1", "-3", "many"):
            monkeypatch.setenv("COLUMNS", columns)
            assert "better recall" in haldane("explain", "scorer").out, columns

    def test_what_blocks_is_shown_beside_what_was_said(self) -> None:
        """The operator's reason stands in the first line, alone; below it what blocks, unless that is the pause."""
        for kind, lines in (("sync", ["now: no proxy is connected"]), ("pause", [])):
            rollout = admin.Rollout(
                phase="ROLLING_BACK", blocker=admin.Blocker(kind=kind, text="no proxy is connected")
            )
            decisions = [admin.Event(kind="rollback", who="ada", why="incident 42; see (r)")]
            console = Console(width=100)
            with console.capture() as drawn:
                console.print(render_explanation(admin.Explanation(rollout=rollout, decisions=decisions), 0.0))
            shown = [line.rstrip() for line in drawn.get().splitlines()]
            assert [line for line in shown if line.startswith("now: ")] == lines
            assert "  incident 42; see (r)" in shown

    async def test_an_earlier_rollout(
        self, harness: LoopHarness, scorer: Path, haldane: Haldane, server: AdminServer
    ) -> None:
        """By any of its lines, also when another rollout has followed."""
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.2)
        recording = await recorded(harness)
        haldane("start", "scorer", "--canary", "v2")
        first = haldane("events", "scorer", "-o", "json").document["events"][-1]
        recording.rollout_id = first["details"]["rollout"]
        server.do(server.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        haldane("rollback", "scorer", "--reason", "no")
        text = haldane("explain", "scorer", "--from", str(first["sequence"])).out
        assert "an earlier rollout" in text
        assert "5xx" in text
        assert "█" in text
        told = haldane("explain", "scorer", "--from", str(first["sequence"]), "-o", "json").document
        assert told["rollout"] is None
        assert told["channels"] == json.loads(json.dumps(told["channels"]))
        assert max(point["total"] for point in told["history"]) >= told["limit"]
