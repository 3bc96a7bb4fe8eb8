"""The console: a page that shows what is, and can be talked into nothing."""

import json
import re
from importlib.resources import files

import pytest

from controller.console.page_state import TAIL
from controller.console.pages import ASSETS
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.ledger_line import Entry
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ConfigState, ProxyStatus, TypeStatus
from controller.ports.observatory import Live
from tests.admin.doors import Doors

MARKUP = "<script>alert(1)</script>"


async def state(doors: Doors) -> dict[str, object]:
    async with doors.http.get("/console/state") as answer:
        assert answer.status == 200
        return json.loads(await answer.text(), parse_constant=refuse)


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


async def test_the_page_and_what_it_loads_come_from_here_alone(doors: Doors) -> None:
    """The page names only files of ours, each is there, and its policy forbids to load anything else."""
    async with doors.http.get("/") as answer:
        page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy  # nobody lays the buttons under his own page
    named = [link for link in re.findall(r'(?:href|src)="([^"]+)"', page) if not link.startswith("data:")]
    assert named
    loaded = [f"/console/{name}" for name in ASSETS]
    assert set(named) <= set(loaded)
    for path in loaded:
        async with doors.http.get(path) as answer:
            assert answer.status == 200, path


def test_the_page_never_reads_text_as_markup() -> None:
    """Names and reasons are other people's words: they go into the page as text."""
    for name in ASSETS:
        script = files("controller.console").joinpath(name).read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in script, name


async def test_an_empty_controller_has_a_page_too(doors: Doors) -> None:
    """Before anything is declared."""
    doors.unready = "starting"
    assert await state(doors) == {
        "revision": 0,
        "unready": "starting",
        "controller": "alone",
        "role": "follower",
        "leader": "",
        "caller": {
            "name": "anonymous@127.0.0.1",
            "verified_by": "",
            "restricted": False,
            "roles": [],
            "may_freeze": True,
            "may_lift": True,
        },
        "services": [],
        "broken": {},
        "freezes": [],
        "fleets": [],
        "judged": None,
        "unseen": [],
        "strangers": [],
        "exclusions": [],
        "behind": [],
        "ledger": [],
    }


async def test_a_rollout_is_shown_with_all_that_is_known_of_it(served: Doors) -> None:
    """Weights, phase, verdict, traffic, proxies and freezes in one answer, with no figure that JSON does not have."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    await served.api.switch.Freeze(pb.FreezeRequest(all=True, reason=MARKUP))
    served.fleet.synced = Sync(synced=1, total=2)
    served.fleet.statuses = (
        ProxyStatus("e1", "edge", "envoy", 0.0, (), ConfigState.SYNCED),
        ProxyStatus(
            "e2",
            "edge",
            "envoy",
            0.0,
            (TypeStatus("t", ConfigState.ERROR, "2", "1", 0.0, "no such cluster"),),
            ConfigState.ERROR,
        ),
    )
    verdict = Verdict(Outcome.HARM, (Reason("5xx", "40% errors against 0.1%", evidence=float("inf"), limit=100.0),))
    traffic = {"v2": Traffic(2.0, 0.4, 12.0, float("inf"), 20, 8)}
    blocker = Blocker(BlockerKind.HOOK, names=("qa",))
    health = {"v1": EndpointHealth(3, 5, 5, 2)}
    await served.observatory.see("scorer", Live(verdict, "rolls back", traffic, endpoints=health, blocker=blocker))
    shown = await state(served)
    service = shown["services"][0]
    assert (service["name"], service["phase"], service["weights"]) == ("scorer", "WARMING", {"v1": 9500, "v2": 500})
    assert (service["running"], service["step"], service["steps"]) == (True, 0, [500, 1000, 2500, 5000])
    assert (service["verdict"], service["doing"]) == ("harm", "rolls back")
    assert (service["blocker"]["kind"], service["blocker"]["names"]) == ("hook", ["qa"])
    ground = service["grounds"][0]
    assert (ground["code"], ground["text"], ground["limit"]) == ("5xx", "40% errors against 0.1%", 100.0)
    assert (service["traffic"]["v2"]["errors"], service["traffic"]["v2"]["p99_ms"]) == (8, None)
    assert service["endpoints"] == {"v1": {"healthy": 3, "total": 5}}
    assert (service["synced"], service["proxies"]) == (1, 2)
    assert [freeze["scope"] for freeze in service["freezes"]] == ["*"]
    assert shown["freezes"][0]["reason"] == MARKUP
    assert shown["fleets"] == [{"fleet": "edge", "states": {"SYNCED": 1, "ERROR": 1}}]
    assert shown["behind"] == [{"node": "e2", "fleet": "edge", "state": "ERROR", "why": "no such cluster"}]
    assert [line["kind"] for line in shown["ledger"]] == ["freeze_set", "rollout_started", "service_applied"]
    moved = shown["ledger"][1]
    assert (moved["before"], moved["after"]) == ({"v1": 10_000}, {"v1": 9500, "v2": 500})


async def test_the_watch_over_stable_is_shown_while_no_rollout_runs(served: Doors) -> None:
    """After a rollback, and before any rollout, the page tells how the stable itself does."""
    watch = Verdict(Outcome.PASS, (Reason("5xx", "as ever"),))
    await served.observatory.see("scorer", Live(stable=watch))
    service = (await state(served))["services"][0]
    assert (service["stable_verdict"], service["stable_reasons"]) == ("pass", ["as ever"])
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    assert (await state(served))["services"][0]["stable_verdict"] == ""


async def test_the_ledgers_end_is_shown_newest_first(doors: Doors) -> None:
    """However long the ledger, the page shows its last lines, and goes on from where it was."""
    for number in range(1200):
        doors.store.write(Entry(kind=f"note{number}", who="ada", why="because"))
    assert [line["sequence"] for line in (await state(doors))["ledger"]] == list(range(1200, 1200 - TAIL, -1))
    doors.store.write(Entry(kind="last", who="ada", why="because"))
    assert (await state(doors))["ledger"][0]["kind"] == "last"


@pytest.mark.proves("track-record 32")
async def test_a_store_that_hangs_takes_the_ledger_from_the_page_alone(served: Doors) -> None:
    """A disk that does not answer: weights, verdicts and freezes are shown all the same."""
    before = await state(served)
    served.store.hung = True
    assert await state(served) == before


async def test_without_the_store_the_page_shows_what_is_served(served: Doors) -> None:
    """An outage of the store takes nothing from the page but news."""
    before = await state(served)
    served.store.away = True
    assert await state(served) == before


async def test_another_name_does_not_reach_the_page(doors: Doors) -> None:
    """The console is under the same guard as the switch."""
    async with doors.http.get("/", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
