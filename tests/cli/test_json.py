"""`--output json`: one document for every command, with the API's names, for jq and scripts."""

import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.cli.output import plain
from controller.core.control.judged import Gap, Judged
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.store_errors import NotWritten
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import (
    ConfigState,
    Nack,
    ProxyStatus,
    ReportsPaced,
    RolloutWait,
    TypeStatus,
    UnreachedController,
    UnseenController,
)
from controller.ports.observatory import Live
from controller.ports.report_admission import NotCounted, StrangerStatus
from tests.cli.admin_server import WITHIN, AdminServer
from tests.cli.conftest import Haldane, Process

START = ("start", "scorer", "--canary", "v2")
ROLLOUT = {
    "service",
    "stable",
    "canary",
    "phase",
    "step",
    "weights",
    "verdict",
    "reasons",
    "proxies_synced",
    "proxies_total",
    "started_at",
    "updated_at",
    "revision",
}
"""What a rollout has by contract."""


def test_a_rollout_has_every_field_of_the_contract(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Acts answer with the rollout: every contracted field is there, with numbers as numbers, empty ones too."""
    server.fleet.synced = Sync(2, 3)
    server.see("scorer", Live(Verdict(Outcome.UNKNOWN, (Reason("no_traffic", "the canary gets no traffic"),))))
    rollout = haldane(*START, "--output", "json").document
    assert set(rollout) >= ROLLOUT
    assert (rollout["service"], rollout["stable"], rollout["canary"]) == ("scorer", "v1", "v2")
    assert (rollout["phase"], rollout["step"], rollout["weights"]) == ("WARMING", 0, {"v1": 9500, "v2": 500})
    assert (rollout["verdict"], rollout["reasons"]) == ("unknown", ["the canary gets no traffic"])
    assert (rollout["proxies_synced"], rollout["proxies_total"]) == (2, 3)
    assert isinstance(rollout["started_at"], float)
    assert isinstance(rollout["revision"], int)
    assert rollout["freezes"] == []


def test_a_service_carries_its_rollout_one_step_away(scorer: Path, haldane: Haldane) -> None:
    """`get` and `list` show phase and canary beside what was declared; before any rollout the phase is IDLE."""
    before = haldane("get", "scorer", "-o", "json").document
    assert (before["service"], before["phase"], before["canary"]) == ("scorer", "IDLE", "")
    assert (before["weights"], before["rollout"]) == ({"v1": 10000}, None)
    assert before["yaml"] == scorer.read_text()
    haldane(*START)
    after = haldane("get", "scorer", "-o", "json").document
    assert (after["phase"], after["canary"], after["weights"]) == ("WARMING", "v2", {"v1": 9500, "v2": 500})
    assert set(after) >= ROLLOUT
    listed = haldane("-o", "json", "list").document
    assert listed["broken"] == {}
    assert [(s["service"], s["phase"]) for s in listed["services"]] == [("scorer", "WARMING")]


def test_a_freeze_has_its_end(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Who, why, since when, until when; every document of the service has it from then on."""
    answer = haldane("freeze", "scorer", "--reason", "incident 42", "--ttl", "30m", "-o", "json").document
    freeze = answer["freezes"][0]
    assert (freeze["scope"], freeze["reason"], freeze["mode"]) == ("scorer", "incident 42", "freeze")
    assert freeze["until"] - freeze["since"] == pytest.approx(1800)
    assert haldane("freezes", "-o", "json").document == {"freezes": [freeze], "store_problem": ""}
    assert haldane("get", "scorer", "-o", "json").document["freezes"] == [freeze]
    lifted = haldane("unfreeze", "scorer", "--reason", "over", "-o", "json").document["lifted"]
    assert lifted == [freeze]


def test_proxies_list_each_resource_type_and_its_nack(haldane: Haldane, server: AdminServer) -> None:
    """A proxy that refused its routes shows as ERROR, with its own words, in every form."""
    routes = TypeStatus(
        "type.googleapis.com/x.v3.RouteConfiguration", ConfigState.ERROR, "a2", "a1", 1000.0, "no such cluster"
    )
    server.fleet.statuses = (ProxyStatus("edge-1", "edge", "envoy 1.40.0", 990.0, (routes,), ConfigState.ERROR),)
    proxy = haldane("proxies", "-o", "json").document["proxies"][0]
    assert (proxy["node"], proxy["fleet"], proxy["state"]) == ("edge-1", "edge", "ERROR")
    assert proxy["types"][0]["error"] == "no such cluster"
    for form in ((), ("--wide",)):
        said = haldane("proxies", *form).out
        assert "edge-1" in said
        assert "no such cluster" in said


def test_a_proxy_is_excluded_with_a_reason_until_it_is_included(haldane: Haldane, server: AdminServer) -> None:
    """The list names it with who and why, also while it is not connected; so does the ledger."""
    assert haldane("proxies", "--exclude", "edge-1").code == 2
    assert haldane("proxies", "--exclude", "edge-1", "--include", "edge-2", "--reason", "x").code == 2
    assert haldane("proxies", "--include", "edge-1", "--reason", "mended").code == 4
    assert haldane("proxies", "--exclude", "edge-1", "--reason", "it lies", "-o", "json").document["revision"] == 1
    (exclusion,) = haldane("proxies", "-o", "json").document["exclusions"]
    assert (exclusion["node"], exclusion["reason"]) == ("edge-1", "it lies")
    assert "edge-1 excluded by" in haldane("proxies").out
    assert "edge-1 is judged" in haldane("proxies", "--include", "edge-1", "--reason", "mended").out
    assert haldane("proxies", "-o", "json").document["exclusions"] == []
    assert "proxy_excluded" in haldane("events").out


def test_proxies_name_who_reports_without_being_one(haldane: Haldane, server: AdminServer) -> None:
    """With its address and why; also while no proxy is connected."""
    status = StrangerStatus("edge-9", "nowhere", "ipv4:127.0.0.1:9", NotCounted.NO_XDS_STREAM, 1000.0, 1001.0, 7)
    server.fleet.reporting = (status,)
    assert haldane("proxies", "-o", "json").document["strangers"][0]["reason"] == "no_xds_stream"
    said = haldane("proxies").out
    assert "edge-9 (fleet nowhere, ipv4:127.0.0.1:9) reports and is no proxy: it has no xDS stream; 7" in said


def test_proxies_say_when_reports_come_too_fast(haldane: Haldane, server: AdminServer) -> None:
    """What the controller asks for instead; nothing while it takes in all."""
    assert haldane("proxies", "-o", "json").document["paced"] is None
    server.fleet.paced = ReportsPaced(0.8, 4)
    assert haldane("proxies", "-o", "json").document["paced"] == {"interval": 0.8, "flushes": 4}
    said = haldane("proxies").out
    assert "proxies with a canary report every 0.8 s, one flush of metrics in 4 is read" in said


def test_proxies_say_what_one_of_them_cannot_report(haldane: Haldane, server: AdminServer) -> None:
    """An Envoy without the loggers serves, and its broken responses count as good: an operator must know."""
    blind = ProxyStatus(
        "edge-1", "edge", "envoy 1.20.0", 900.0, (), ConfigState.SYNCED, is_blind=True, requests=200, failed=6
    )
    server.fleet.statuses = (blind, replace(blind, node="edge-2", is_blind=False))
    proxies = haldane("proxies", "-o", "json").document["proxies"]
    assert "no stats access logger" in proxies[0]["blind"]
    assert not proxies[1]["blind"]
    said = haldane("proxies").out
    assert "200       3.00%" in said
    assert "edge-1 cannot report responses that end badly after their headers" in said
    assert "edge-2 cannot" not in said


def test_proxies_list_the_rollouts_that_wait_for_them_and_the_last_nack(haldane: Haldane, server: AdminServer) -> None:
    """Since when and what for, and what each refused last, also when it is long over."""
    wait, last = (
        RolloutWait("scorer", "clusters are not warm: scorer/v2", 1000.0),
        Nack("x.v3.Listener", 990.0, "bad port"),
    )
    server.fleet.statuses = (ProxyStatus("edge-1", "edge", "envoy", 900.0, (), ConfigState.STALE, (wait,), last),)
    proxy = haldane("proxies", "-o", "json").document["proxies"][0]
    assert proxy["waits"] == [{"service": "scorer", "reason": wait.reason, "since": 1000.0}]
    assert proxy["refused"] == {"type_url": "x.v3.Listener", "at": 990.0, "error": "bad port"}
    said = haldane("proxies").out
    assert "scorer waits for edge-1 since" in said
    assert "clusters are not warm: scorer/v2" in said
    assert "edge-1 last NACKed a Listener at" in said


def test_a_service_that_is_not_served_as_declared_is_reported(
    scorer: Path, haldane: Haldane, server: AdminServer
) -> None:
    """In the list on standard error, so that the table stays one; in the service itself; for programs in `problem`."""
    server.fleet.problems = {"scorer": "v1 carries traffic but has no endpoints"}
    listed = haldane("list")
    assert "scorer is served as it was: v1 carries traffic but has no endpoints" in listed.err
    assert "PROBLEM:" in haldane("get", "scorer").out
    assert haldane("list", "-o", "json").document["services"][0]["problem"] == server.fleet.problems["scorer"]


def test_a_store_that_takes_nothing_is_reported_by_list_and_get(
    scorer: Path, haldane: Haldane, server: AdminServer
) -> None:
    """In the list on standard error, in the service itself, and for programs in `store_problem`."""
    assert haldane("list", "-o", "json").document["store_problem"] == ""
    server.store.health.failed(NotWritten("the disk is full"), writing=True)
    assert "store: the disk is full" in haldane("list").err
    assert "STORE:    the disk is full" in haldane("get", "scorer").out
    assert haldane("list", "-o", "json").document["store_problem"] == "the disk is full"


def test_a_refusal_is_a_document_too(scorer: Path, haldane: Haldane, tmp_path: Path) -> None:
    """Programs read why on standard output, by the stable word and field by field; people read it beside that."""
    haldane("freeze", "--all", "--reason", "incident 42")
    frozen = haldane(*START, "-o", "json")
    assert frozen.document["error"]["code"] == "FROZEN"
    assert "incident 42" in frozen.document["error"]["message"]
    assert "incident 42" in frozen.err
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("service: scorer\ncolour: red\n")
    for command in ("lint", "apply"):
        error = haldane(command, "-f", str(wrong), "-o", "json").document["error"]
        assert error["code"] == "INVALID"
        assert ("colour", 2) in [(v["field"], v["line"]) for v in error["violations"]]


def test_lint_reads_standard_input(process: Process) -> None:
    """`-f -` checks what is piped in, and needs no controller."""
    child = process("lint", "-f", "-", "-o", "json", stdin=subprocess.PIPE)
    out, _ = child.communicate(b"service: scorer\n", timeout=WITHIN)
    assert child.returncode == 2
    assert json.loads(out)["error"]["violations"]


def test_retry_names_the_proxies_that_are_sent_again_what_they_nacked(
    haldane: Haldane, server: AdminServer, scorer: Path
) -> None:
    """Of one service or of all; a service that is not there is not found."""
    last = Nack("x.v3.Listener", 990.0, "cannot bind")
    server.fleet.statuses = (ProxyStatus("edge-1", "edge", "envoy", 900.0, (), ConfigState.ERROR, (), last),)
    assert "sent again to edge-1" in haldane("retry").out
    assert haldane("retry", "scorer", "-o", "json").document == {"nodes": ["edge-1"], "unreached": []}
    assert server.fleet.retried == ["", "scorer"]
    server.fleet.statuses = ()
    assert haldane("retry", "scorer").out == "no proxy has NACKed anything of scorer\n"
    assert haldane("retry", "nobody").code == 4


def test_a_retry_that_reaches_not_all_controllers_says_which(haldane: Haldane, server: AdminServer) -> None:
    """With the command that asks that one; the exit code is that of a controller that cannot be reached."""
    server.fleet.unreached = (UnreachedController("c2", "h:2", "no answer in time"),)
    done = haldane("retry")
    assert (done.code, done.out) == (6, "no proxy of the controllers that were reached has NACKed anything\n")
    assert "error: not sent to the proxies of c2 (no answer in time)" in done.err
    assert "hint: haldane --admin h:2 retry\n" in done.err
    done = haldane("retry", "-o", "json")
    assert (done.code, done.document["nodes"]) == (6, [])
    assert done.document["unreached"] == [{"controller": "c2", "admin": "h:2", "reason": "no answer in time"}]


def test_proxies_that_are_not_known_are_said_to_be(haldane: Haldane, server: AdminServer) -> None:
    """Of which controller, how many, and why."""
    server.fleet.unseen_controllers = (UnseenController("c2", 1, "it is away"),)
    assert "error: 1 proxy of c2 not known: it is away" in haldane("proxies").err
    (unseen,) = haldane("proxies", "-o", "json").document["unseen"]
    assert unseen == {"controller": "c2", "proxies": 1, "reason": "it is away"}


def test_where_what_is_judged_comes_from_is_shown(haldane: Haldane, server: AdminServer, scorer: Path) -> None:
    """Where there are several controllers: which one decides and as of when; if it cannot be reached no verdict, and
    why."""
    assert haldane("get", "scorer", "-o", "json").document["judged"] is None
    assert haldane("start", "scorer", "--canary", "v2").code == 0
    verdict = Verdict(Outcome.PASS, ())
    server.do(server.observatory.see("scorer", Live(verdict, judged=Judged("c1", 1.0))))
    assert re.search(r"^judged: +by c1, as of 19", haldane("get", "scorer").out, re.M)
    judged = haldane("get", "scorer", "-o", "json").document["judged"]
    assert judged == {"controller": "c1", "as_of": 1.0, "problem": "", "problem_since": 0.0}
    lost = Judged("c1", gap=Gap.LEADER_UNREACHABLE, since=1.0, detail="no answer in time")
    server.do(server.observatory.see("scorer", Live(judged=lost)))
    said = haldane("get", "scorer").out
    assert "JUDGED:   verdicts are known to c1, which decides and cannot be reached since 1970" in said
    assert said.count("verdicts are known") == 1
    document = haldane("get", "scorer", "-o", "json").document
    assert (document["verdict"], document["blocker"]) == ("unknown", None)
    assert [each["code"] for each in document["details"]] == ["leader_unreachable"]
    assert document["reasons"][0] == document["judged"]["problem"] == lost.problem
    listed = haldane("list")
    assert f"error: {lost.problem}" in listed.err
    assert "unknown: leader_unreachable" in listed.out


EVERY_COMMAND: list[tuple[str, ...]] = [
    ("lint", "-f", "FILE"),
    ("apply", "-f", "FILE"),
    ("apply", "-f", "FILE", "--dry-run"),
    ("list",),
    ("get", "scorer"),
    START,
    ("pause", "scorer"),
    ("resume", "scorer"),
    ("wait", "scorer", "--for", "warming"),
    ("promote", "scorer"),
    ("rollback", "scorer"),
    ("freeze", "scorer", "--reason", "x"),
    ("freezes",),
    ("unfreeze", "scorer", "--reason", "x"),
    ("proxies",),
    ("retry",),
    ("retry", "scorer"),
    ("events",),
    ("events", "scorer", "--after", "2"),
    ("events", "--verify"),
]


def test_every_command_prints_one_document(scorer: Path, haldane: Haldane) -> None:
    """From declaring to the ledger's check: each answer is one JSON object on one line, and nothing else."""
    for command in EVERY_COMMAND:
        done = haldane(*(str(scorer) if word == "FILE" else word for word in command), "-o", "json")
        assert (done.code, done.err) == (0, ""), command
        assert done.out.count("\n") == 1, command
        assert isinstance(done.document, dict), command


@pytest.mark.parametrize("message", [pb.Rollout(), pb.Service(), pb.Event(), pb.Proxy(), pb.FreezeInfo()])
def test_empty_fields_are_there(message: Any) -> None:
    """A script that reads a field finds it, whatever its value."""
    assert set(plain(message)) == {field.name for field in message.DESCRIPTOR.fields}


def test_a_rollout_has_the_traffic_of_each_version(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Rates, percentiles and counts of both versions, and the judge's evidence, are in the rollout's document."""
    haldane(*START)
    reason = Reason("5xx", "5xx: 4 of 1204", 0.0035, 0.0031, 1204, 12388, 3.2, 100.0)
    traffic = {"v2": Traffic(10.2, 0.0035, 12.1, 48.0, 1204, 4, 1, 2, 3, 5.0, 7.2)}
    server.see(
        "scorer", Live(Verdict(Outcome.UNKNOWN, (reason,)), "23 s of the dwell are left", traffic, updated_at=1001.0)
    )
    rollout = haldane("get", "scorer", "-o", "json").document["rollout"]
    assert rollout["traffic"]["v2"] == {
        "requests_per_second": 10.2,
        "error_rate": 0.0035,
        "p50_ms": 12.1,
        "p99_ms": 48.0,
        "requests": 1204,
        "errors": 4,
        "broken": 1,
        "cancelled": 2,
        "in_progress": 3,
        "ttft_p50_ms": 5.0,
        "ttft_p99_ms": 7.2,
    }
    assert (rollout["details"][0]["evidence"], rollout["details"][0]["limit"]) == (3.2, 100.0)
    assert rollout["reasons"][-1] == "23 s of the dwell are left"


def test_what_has_no_number_is_null(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """A p99 above the last bucket is infinite, which JSON cannot say; the document can still be read by anything."""
    haldane(*START)
    server.see("scorer", Live(traffic={"v2": Traffic(1.0, 0.0, 12.1, math.inf, 10, 0)}))
    done = haldane("get", "scorer", "-o", "json")
    assert "Infinity" not in done.out
    assert done.document["rollout"]["traffic"]["v2"]["p99_ms"] is None


@pytest.mark.proves("track-record 34")
def test_a_blind_rollout_does_not_look_like_a_quiet_one(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """What stands in the judge's way is said wherever the verdict is: UNKNOWN alone may mean that all goes well."""
    haldane(*START)
    blind = Reason("blind", "no reports on both versions for 42 s")
    server.see("scorer", Live(Verdict(Outcome.UNKNOWN, (blind,), blind=True), "60 s of the dwell at 5% are left"))
    assert "unknown: blind" in haldane("list").out
    line = haldane("pause", "scorer").out
    assert "no reports on both versions for 42 s | " in line
