"""Real controllers over a real etcd: who there is, who decides, and how the right to decide goes on."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import ControllersStub
from tests.controllers.conftest import TTL, Make
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd")]


async def listed(asked: ControllerProcess) -> list[pb.Controller]:
    """What that controller answers."""
    async with asked.channel() as channel:
        stub = ControllersStub(channel)  # type: ignore[no-untyped-call]
        return list((await stub.ListControllers(pb.ListControllersRequest(), wait_for_ready=True)).controllers)


async def until(asked: ControllerProcess, holds: Callable[[list[pb.Controller]], bool], within: float = 60) -> None:
    """Wait until what that controller answers is so."""

    async def met() -> bool:
        return holds(await listed(asked))

    await wait_until(met, within)


def leaders(controllers: list[pb.Controller]) -> list[str]:
    """The names of those that decide."""
    return [each.name for each in controllers if each.leader]


async def test_each_is_listed_and_one_decides(controller: Make) -> None:
    """By name, with addresses; the leader with its term, also in /readyz, the metrics and the ledger."""
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    await until(first, lambda every: [each.name for each in every] == ["one", "two"])
    one, two = await listed(second)
    assert (one.leader, two.leader, two.term) == (True, False, 0)
    assert one.term > 0
    assert (two.xds, two.admin, two.http) == (second.xds, second.admin, second.http)
    await until(first, lambda every: {each.revision for each in every} == {1})
    async with aiohttp.ClientSession() as http:
        assert (await (await http.get(f"http://{first.http}/readyz")).json())["role"] == "leader"
        assert (await (await http.get(f"http://{second.http}/readyz")).json())["role"] == "follower"
        text = await (await http.get(f"http://{second.http}/metrics")).text()
    assert 'haldane_controller_leads{controller="one"} 1.0' in text
    assert f"haldane_term {float(one.term)}" in text
    async with second.stubs() as stubs:
        (line,) = (await stubs.ledger.ListEvents(pb.ListEventsRequest())).events
    assert (line.kind, line.why) == ("term_begun", "one decides from now on")


async def test_sigterm_hands_over_at_once(controller: Make, tmp_path: Path) -> None:
    """The one that ends takes its record away, and the other decides long before a lease would have run out."""
    (tmp_path / "settings.toml").write_text("[etcd]\nttl = 20\n")
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    await until(second, lambda every: len(every) == 2)
    (term,) = (each.term for each in await listed(second) if each.leader)
    begun = time.monotonic()
    first.send(signal.SIGTERM)
    await until(second, lambda every: leaders(every) == ["two"])
    assert time.monotonic() - begun < 5.0  # a tenth of a second, unless the machine has far more to do
    (two,) = await listed(second)
    assert two.term > term


async def test_a_killed_leader_is_followed_once_its_lease_has_run_out(controller: Make) -> None:
    """And it comes back as a follower of the same name, while its former record still stands or not."""
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    first.kill()
    await first.start()
    await until(second, lambda every: leaders(every) == ["two"] or "one" in leaders(every), TTL + 2)
    await until(second, lambda every: [each.name for each in every] == ["one", "two"])


async def test_one_that_stood_still_beyond_its_lease_writes_nothing_more(controller: Make) -> None:
    """SIGSTOP beyond the lease, and back: it follows, and no line of its term comes after the successor's."""
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    first.send(signal.SIGSTOP)
    await until(second, lambda every: leaders(every) == ["two"], TTL + 3)
    first.send(signal.SIGCONT)
    await until(first, lambda every: [each.name for each in every] == ["one", "two"] and leaders(every) == ["two"])
    await wait_until(lambda: "term_lost" in first.output)
    async with first.stubs() as stubs:
        lines = (await stubs.ledger.ListEvents(pb.ListEventsRequest())).events
    assert [line.why for line in lines] == ["one decides from now on", "two decides from now on"]


async def test_two_of_one_name_are_told_apart(controller: Make) -> None:
    """The later one adds a part of its instance id to its own name."""
    first, second = controller("same"), controller("same")
    await first.start()
    await until(first, lambda every: len(every) == 1)
    await second.start()
    await until(first, lambda every: len({each.name for each in every}) == 2)
    names = [each.name for each in await listed(first)]
    assert "same" in names
    assert all(name.startswith("same") for name in names)
