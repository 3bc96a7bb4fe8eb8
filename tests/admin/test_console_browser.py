"""The console as a browser shows it; skipped where there is no Chromium."""

import asyncio
import html
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from controller.cli.failure import Exit
from controller.core.control.judged import Gap, Judged
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ConfigState, ProxyStatus, TypeStatus, UnseenController
from controller.ports.observatory import Live
from tests.admin.doors import Doors, come_to_approval
from tests.builders import service_file
from tests.support.chromium import chromium, page_open

MARKUP = "<b>incident</b>"

pytestmark = pytest.mark.requires("chromium", "chromium-browser")


async def shown(doors: Doors, folder: Path) -> str:
    """What is on the page once its scripts have run: the document as it stands then."""
    child = await chromium(folder, "--virtual-time-budget=3000", "--dump-dom", f"{doors.url}/")
    said, _ = await child.communicate()
    return said.decode()


async def measured(doors: Doors, folder: Path, width: int, ready: str, expression: str) -> Any:
    """What the expression gives on a page of that many pixels, once `ready` is true there."""
    async with page_open(folder, f"{doors.url}/", width) as page:
        await page.wait_for(ready)
        return await page.value(expression)


async def test_an_empty_controller_says_what_to_do_first(doors: Doors, tmp_path: Path) -> None:
    """Nothing declared, no one connected: the page names the commands."""
    page = await shown(doors, tmp_path)
    assert "haldane apply -f FILE" in page
    assert "has a fault" not in page
    assert "does not answer" not in page


async def test_that_no_verdict_is_known_is_on_top_of_the_page(served: Doors, tmp_path: Path) -> None:
    """At a controller that follows: who decides and cannot be reached, and whose proxies are not listed."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    judged = Judged("c1", gap=Gap.LEADER_UNREACHABLE, since=1.0, detail=f"no answer {MARKUP}")
    served.fleet.unseen_controllers = (UnseenController("c1", 2, "it is away"),)
    await served.observatory.see("scorer", Live(judged=judged))
    page = await shown(served, tmp_path)
    assert "Verdicts are known to c1, which decides and cannot be reached since 1970-01-01 00:00:01 UTC" in page
    assert html.escape(MARKUP) in page
    assert "2 proxies of c1 not known: it is away" in page
    assert "The judge says" not in page
    assert "has a fault" not in page


async def test_harm_under_a_freeze_is_what_one_sees_first(served: Doors, tmp_path: Path) -> None:
    """The freeze and its reason as text, the harm, evidence without end, who lags behind, and what can be done."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    await served.api.switch.Freeze(pb.FreezeRequest(all=True, reason=MARKUP))
    served.fleet.synced = Sync(synced=0, total=1)
    refused = TypeStatus("t", ConfigState.ERROR, "2", "1", 0.0, "no such cluster")
    served.fleet.statuses = (ProxyStatus("e1", "edge", "envoy", 0.0, (refused,), ConfigState.ERROR),)
    ground = Reason("5xx", "40% errors", 0.4, 0.0, 20, 400, evidence=float("inf"), limit=100.0, channel="5xx")
    live = Live(Verdict(Outcome.HARM, (ground,)), "suppressed", {"v2": Traffic(2.0, 0.4, 12.0, float("inf"), 20, 8)})
    await served.observatory.see("scorer", live)
    page = await shown(served, tmp_path)
    for part in (
        "Everything is FROZEN: &lt;b&gt;incident&lt;/b&gt;",
        "No weight moves. By anonymous@127.0.0.1 (unverified) since",
        '<td class="nowrap">anonymous@127.0.0.1 (unverified)</td>',
        "HARM, and the canary still gets 5%: suppressed",
        "harm: 5xx",
        "without end of 100",
        "no such cluster",
        "haldane rollback scorer --force",
    ):
        assert part in page, part
    assert "has a fault" not in page


@pytest.mark.parametrize(("steps", "share", "weight"), [("5%, 12.34%, 50%", "12.34%", 1234), ("5%", "100%", 9500)])
async def test_the_yes_that_the_page_offers_is_the_one_that_is_asked_for(
    doors: Doors, tmp_path: Path, steps: str, share: str, weight: int
) -> None:
    """The command names the canary and the next share. As it stands on the page it is done, and later it is refused.
    A yes to 100 % is one to the promotion, whose bake leaves stable its holdback."""
    text = service_file() + f"policy: {{steps: [{steps}]}}\n"
    await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))
    await doors.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    assert "haldane approve" not in await shown(doors, tmp_path / "before")
    await come_to_approval(doors)
    (offered,) = re.findall(r"haldane (approve [^<]*)", await shown(doors, tmp_path / "after"))
    words = shlex.split(html.unescape(offered))
    assert words == ["approve", "scorer", "--canary", "v2", "--to", share, "--reason", "..."]
    codes = []
    for _ in range(2):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controller", "--admin", doors.address, *words),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        codes.append(await child.wait())
    assert codes == [Exit.DONE, Exit.NOT_POSSIBLE]
    now = await doors.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    assert now.weights["v2"] == weight


@pytest.mark.proves("track-record 58")
@pytest.mark.parametrize("width", [390, 1200])
async def test_nothing_is_cut_at_the_edge(served: Doors, tmp_path: Path, width: int) -> None:
    """On a phone's width as on a desk's: every figure is in sight, without scrolling sideways, and has its name."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    ground = Reason("5xx", "not yet", 0.01, 0.0, 20, 400, evidence=3.0, limit=20.0, channel="5xx", margin=0.01)
    seen = Traffic(5200.0, 0.04, 1200.0, 4300.0, 200_000, 8000)
    await served.observatory.see("scorer", Live(Verdict(Outcome.UNKNOWN, (ground,)), "waits", {"v1": seen, "v2": seen}))
    ready = "document.querySelectorAll('table.figures').length == 2"
    boxes = (
        "[document.documentElement, ...document.querySelectorAll('.wide')].map((e) => [e.scrollWidth, e.clientWidth])"
    )
    found = await measured(served, tmp_path, width, ready, f"[{boxes}, document.body.innerText]")
    assert found[0][0][1] <= width
    assert all(inside <= outside for inside, outside in found[0]), found[0]
    assert len(found[0]) == 4
    assert "5xx less than 1 percentage point worse" in found[1]


async def test_first_tokens_have_columns_where_there_are_any(served: Doors, tmp_path: Path) -> None:
    """Beside the percentiles of the whole responses; a version without any has a dash."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    timed = Traffic(52.0, 0.0, 9000.0, 20_000.0, 1000, 0, ttft_p50_ms=310.0, ttft_p99_ms=780.0)
    await served.observatory.see("scorer", Live(traffic={"v1": timed, "v2": Traffic(1.0)}))
    rows = "[...document.querySelectorAll('table.traffic tr')].map((row) => [...row.children].map((e) => e.innerText))"
    ready = "document.querySelectorAll('table.traffic').length == 1"
    head, *found = await measured(served, tmp_path, 1200, ready, rows)
    at = head.index("ttft p50")
    assert head[at - 1 : at + 2] == ["p99", "ttft p50", "ttft p99"]
    assert {row[0].split()[0]: row[at : at + 2] for row in found} == {"v1": ["310 ms", "780 ms"], "v2": ["-", "-"]}


async def test_what_drains_has_a_column_after_a_rollback(served: Doors, tmp_path: Path) -> None:
    """How many requests the canary still has in progress, beside those of stable."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    await served.api.rollouts.Rollback(pb.RollbackRequest(service="scorer", reason="enough"))
    traffic = {"v1": Traffic(52.0, in_progress=4), "v2": Traffic(in_progress=7)}
    await served.observatory.see("scorer", Live(traffic=traffic))
    rows = "[...document.querySelectorAll('table.traffic tr')].map((row) => [...row.children].map((e) => e.innerText))"
    ready = "document.querySelectorAll('table.traffic').length == 1"
    head, *found = await measured(served, tmp_path, 1200, ready, rows)
    assert {row[0].split()[0]: row[head.index("in progress")] for row in found} == {"v1": "4", "v2": "7"}


async def test_a_stable_that_fails_is_red(served: Doors, tmp_path: Path) -> None:
    """The watch over stable may not know whether that is harm; 90 % errors are nothing to overlook all the same."""
    worse = Verdict(Outcome.UNKNOWN, (Reason("incident", "worse than its own baseline"),))
    seen = Traffic(52.0, 0.9, 1.0, 2.0, 1000, 900)
    await served.observatory.see("scorer", Live(stable=worse, traffic={"v1": seen}))
    classes = "[...document.querySelectorAll('.service.alarming .bad, .service .verdict')].map((e) => e.className)"
    ready = "document.querySelectorAll('.service .verdict').length == 1"
    found = await measured(served, tmp_path, 1200, ready, f"[{classes}, document.body.innerText]")
    assert "verdict harm" in found[0]
    assert any("number" in kind for kind in found[0])
    assert "UNKNOWN: 90% of its responses are errors" in found[1]


async def test_a_number_of_the_ledger_stays_on_one_line(served: Doors, tmp_path: Path) -> None:
    """However narrow its column is."""
    numbers = "[...document.querySelectorAll('#ledger td:first-child')].map((e) => getComputedStyle(e).whiteSpace)"
    found = await measured(served, tmp_path, 700, "document.querySelectorAll('#ledger tr').length > 0", numbers)
    assert set(found) == {"nowrap"}
