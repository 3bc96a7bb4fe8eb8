"""The console as a browser shows it; skipped where there is no Chromium."""

import asyncio
import shutil
from pathlib import Path

import pytest

from controller.core.decision import Sync
from controller.core.verdict import Outcome, Reason, Verdict
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports import Live, ProxyStatus, Traffic, TypeStatus
from tests.admin.doors import Doors

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
MARKUP = "<b>incident</b>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")


async def shown(doors: Doors, folder: Path) -> str:
    """What is on the page once its scripts have run: the document as it stands then."""
    options = ["--headless", "--no-sandbox", *QUIET.split(), "--disable-sync", f"--user-data-dir={folder}"]
    words = [*options, "--virtual-time-budget=3000", "--dump-dom", f"{doors.url}/"]
    child = await asyncio.create_subprocess_exec(
        str(CHROMIUM), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await child.communicate()
    return said.decode()


async def test_an_empty_controller_says_what_to_do_first(doors: Doors, tmp_path: Path) -> None:
    """Nothing declared, nobody connected: the page names the commands."""
    page = await shown(doors, tmp_path)
    assert "haldane apply -f FILE" in page
    assert "has a fault" not in page
    assert "does not answer" not in page


async def test_harm_under_a_freeze_is_what_one_sees_first(served: Doors, tmp_path: Path) -> None:
    """The freeze and its reason as text, the harm, evidence without end, who lags behind, and what can be done."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    await served.api.switch.Freeze(pb.FreezeRequest(all=True, reason=MARKUP))
    served.fleet.synced = Sync(synced=0, total=1)
    refused = TypeStatus("t", "ERROR", "2", "1", 0.0, "no such cluster")
    served.fleet.statuses = (ProxyStatus("e1", "edge", "envoy", 0.0, (refused,), "ERROR"),)
    ground = Reason("5xx", "40% errors", 0.4, 0.0, 20, 400, evidence=float("inf"), limit=100.0, channel="5xx")
    live = Live(Verdict(Outcome.HARM, (ground,)), "suppressed", {"v2": Traffic(2.0, 0.4, 12.0, float("inf"), 20, 8)})
    await served.observatory.see("scorer", live)
    page = await shown(served, tmp_path)
    for part in (
        "Everything is FROZEN: &lt;b&gt;incident&lt;/b&gt;",
        "HARM, and the canary still gets 5%: suppressed",
        "harm: 5xx",
        "without end of 100",
        "no such cluster",
        "haldane rollback scorer --force",
    ):
        assert part in page, part
    assert "has a fault" not in page
