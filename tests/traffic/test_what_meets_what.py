"""The table `What meets what` of docs/traffic.md, cell by cell, by a real Envoy."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from controller.core.model.route_rules import Condition, MatchRule, Mirror, Sticky
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import envoy_in_sync, get, get_many, model
from tests.xds.envoy_under_load import EnvoyUnderLoad

pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", ["sotw", "delta"])]

TESTER = {"x-tester": "yes"}
MATCH: dict[str, Any] = {
    "match": (MatchRule(conditions=(Condition(source="header", name="x-tester", value="yes"),), to="canary"),)
}
STICKY: dict[str, Any] = {"sticky": Sticky(source="header", name="x-user-id")}
SHIELD: dict[str, Any] = {"shield": True}
MIRROR: dict[str, Any] = {"mirror": Mirror(to="v3", share=10_000)}
STREAMING: dict[str, Any] = {"streaming": True, "timeout": 1.0}
PARTS = 3


@dataclass
class Version:
    """A server of one version. `begins` and `ends` are how many responses it has begun and ended."""

    fails: bool = False
    """Whether it responds with 500."""
    breaks: bool = False
    """Whether it breaks off after its headers and a part."""
    begins: int = 0
    ends: int = 0
    asked: list[str] = field(default_factory=list)
    """The users of the requests."""

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """A stream of three parts."""
        self.begins += 1
        self.asked.append(request.headers.get("x-user-id", ""))
        if self.fails:
            return web.Response(status=500)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(PARTS):
            await response.write(b"data: 1\n\n")
            if self.breaks and request.transport:
                request.transport.abort()
                return response
        await response.write_eof()
        self.ends += 1
        return response


@contextlib.asynccontextmanager
async def served(
    processes: Children, protocol: str, **options: Any
) -> AsyncIterator[tuple[list[Version], EnvoyUnderLoad, Callable[[int], Awaitable[None]]]]:
    """Stable v1, canary v2 and v3, an Envoy that gives each of the first two half of the requests, and what moves the
    canary's weight."""
    trio = [Version(), Version(), Version()]
    async with contextlib.AsyncExitStack() as stack:
        places = [await stack.enter_async_context(model(each.respond)) for each in trio]
        versions = {f"v{n}": [place] for n, place in enumerate(places, 1)}

        def state(playing: EnvoyUnderLoad, canary: int = 5000) -> ServiceState:
            return playing.fraud(canary, versions=versions, **options)

        playing = await stack.enter_async_context(envoy_in_sync(processes, protocol, state))

        async def move(canary: int) -> None:
            await playing.publish_and_sync(state(playing, canary))

        yield trio, playing, move


def user(number: int) -> dict[str, str]:
    """The header of a user."""
    return {"x-user-id": f"u{number}"}


async def test_a_pinned_user_goes_by_the_rule(processes: Children, protocol: str) -> None:
    """Also one whose hash is stable's; and with the canary's weight gone, all of them are stable's."""
    async with served(processes, protocol, **MATCH, **STICKY) as (_, envoy, move):
        plain = [(await get(envoy.port, headers=user(n))).version for n in range(20)]
        assert set(plain) == {"v1", "v2"}
        assert {(await get(envoy.port, headers=user(n) | TESTER)).version for n in range(20)} == {"v2"}
        assert [(await get(envoy.port, headers=user(n))).version for n in range(20)] == plain
        await move(0)
        assert {(await get(envoy.port, headers=user(n) | TESTER)).version for n in range(20)} == {"v1"}


async def test_who_asks_for_the_canary_sees_its_failures(processes: Children, protocol: str) -> None:
    """Everybody else is shielded."""
    async with served(processes, protocol, **MATCH, **SHIELD) as ((_, canary, _), envoy, _):
        canary.fails = True
        assert {reply.status for reply in await get_many(envoy.port, 20, headers=TESTER)} == {500}
        assert {reply.status for reply in await get_many(envoy.port, 20)} == {200}


async def test_pinned_requests_are_not_copied(processes: Children, protocol: str) -> None:
    """All others are, also those of users who keep their version."""
    async with served(processes, protocol, **MATCH, **MIRROR, **STICKY) as ((_, _, third), envoy, _):
        for number in range(10):
            await get(envoy.port, headers=user(number) | TESTER)
            await get(envoy.port, headers=user(number + 100))
        await wait_until(lambda: len(third.asked) >= 10)
        assert sorted(third.asked) == sorted(f"u{number + 100}" for number in range(10))


async def test_a_user_of_a_failing_canary_stays_its_user(processes: Children, protocol: str) -> None:
    """Shielded by stable's responses; once the canary is well again, it has the same users."""
    async with served(processes, protocol, **SHIELD, **STICKY) as ((_, canary, _), envoy, _):
        before = [(await get(envoy.port, headers=user(n))).version for n in range(20)]
        assert set(before) == {"v1", "v2"}
        canary.fails = True
        assert {(await get(envoy.port, headers=user(n))).version for n in range(20)} == {"v1"}
        canary.fails = False
        assert [(await get(envoy.port, headers=user(n))).version for n in range(20)] == before


async def test_copies_are_not_shielded(processes: Children, protocol: str) -> None:
    """A copy that fails is over: nothing of it is tried on stable."""
    async with served(processes, protocol, **SHIELD, **MIRROR) as ((stable, canary, third), envoy, _):
        third.fails = True
        assert {reply.status for reply in await get_many(envoy.port, 20)} == {200}
        await wait_until(lambda: third.begins == 20)
        assert stable.begins + canary.begins == 20


async def test_a_shielded_stream_that_breaks_off_is_broken(processes: Children, protocol: str) -> None:
    """Its beginning has been sent. What fails before that is stable's response, whole."""
    async with served(processes, protocol, **SHIELD, **STREAMING) as ((_, canary, _), envoy, _):
        canary.fails = True
        assert {(r.status, r.whole) for r in await get_many(envoy.port, 20)} == {(200, True)}
        canary.fails, canary.breaks = False, True
        ended = {(reply.version, reply.whole) for reply in await get_many(envoy.port, 30)}
        assert ended == {("v1", True), ("v2", False)}


async def test_copies_of_streams_are_read_to_their_end(processes: Children, protocol: str) -> None:
    """And dropped: clients have one response."""
    async with served(processes, protocol, **MIRROR, **STREAMING, **STICKY) as ((_, _, third), envoy, _):
        replies = [await get(envoy.port, headers=user(n)) for n in range(20)]
        assert {(reply.status, reply.whole, reply.body.count(b"data")) for reply in replies} == {(200, True, PARTS)}
        await wait_until(lambda: third.ends == 20)
