"""Pinned requests and users that keep their version, by a real Envoy."""

import re

import pytest

from controller.core.model.route_rules import Condition, MatchRule, Sticky
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from tests.support.many_requests import quick_model, versions_of
from tests.traffic.envoy_in_sync import envoy_in_sync, get, get_many, model
from tests.xds.envoy_under_load import EnvoyUnderLoad

pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", ["sotw", "delta"])]


def rule(to: str, **conditions: str) -> MatchRule:
    """A rule: source_name=value."""
    split = ((*key.split("_", 1), value) for key, value in conditions.items())
    return MatchRule(
        conditions=tuple(
            Condition(source=source, name=name.replace("_", "-"), value=value)  # type: ignore[arg-type]
            for source, name, value in split
        ),
        to=to,
    )


async def test_pinned_requests_go_where_they_should(processes: Children, protocol: str) -> None:
    """By header, query and cookie, the first rule first; and are counted in clusters of their own."""
    rules = (
        rule("canary", header_x_tester="yes", query_only="1"),
        rule("v1", header_x_tester="yes"),
        rule("v2", query_version="v2"),
        rule("canary", cookie_lane="a.b"),
    )
    async with model() as one, model() as two:
        versions = {"v1": [one], "v2": [two]}
        async with envoy_in_sync(
            processes, protocol, lambda e: e.fraud(versions=versions, match=rules, canary=1)
        ) as envoy:
            tester = {"x-tester": "yes"}
            cases = [
                ("/?only=1", tester, "v2"),
                ("/?only=2", tester, "v1"),
                ("/?a=b&version=v2", {}, "v2"),
                ("/?version=v22", {"x-tester": "no"}, "v1"),
                ("/", {"cookie": "lane=a.b"}, "v2"),
                ("/", {"cookie": "x=y; lane=a.b; z=1"}, "v2"),
                ("/", {"cookie": "lane=a.bc"}, "v1"),
                ("/", {"cookie": "my-lane=a.b"}, "v1"),
                ("/", {"cookie": "lane=axb"}, "v1"),
            ]
            for path, headers, wanted in cases:
                replies = await get_many(envoy.port, 5, path, headers=headers)
                assert {reply.version for reply in replies} == {wanted}, (path, headers)
            # The canary has 0.01 % of the rest: whatever v2 got was pinned, but for a draw.
            await envoy.publish_and_sync(envoy.fraud(versions=versions, match=rules))
            assert (await get(envoy.port, "/?only=1", headers=tester)).version == "v1"
            assert (await get(envoy.port, "/?version=v2")).version == "v2"


async def test_a_rising_share_only_adds_users(processes: Children, protocol: str) -> None:
    """Of ten thousand nobody goes back to stable before the rollback, and the share is right within one percentage
    point; two proxies agree without talking."""
    users = [f"user-{number}" for number in range(10_000)]
    sticky = Sticky(source="header", name="x-user-id")
    async with quick_model() as one, quick_model() as two:

        def state(envoy: EnvoyUnderLoad, canary: int) -> ServiceState:
            return envoy.fraud(versions={"v1": [one], "v2": [two]}, sticky=sticky, canary=canary)

        async def on_the_canary(envoy: EnvoyUnderLoad) -> set[str]:
            versions = await versions_of(envoy.port, "x-user-id", users)
            return {user for user, version in zip(users, versions, strict=True) if version == "v2"}

        async with (
            envoy_in_sync(processes, protocol, lambda e: state(e, 500)) as envoy,
            envoy_in_sync(processes, protocol, lambda e: state(e, 5000)) as other,
        ):
            before: set[str] = set()
            for canary in (100, 500, 1000, 2500, 5000):
                await envoy.publish_and_sync(state(envoy, canary))
                now = await on_the_canary(envoy)
                assert before <= now
                assert abs(len(now) / len(users) - canary / 10_000) < 0.01
                before = now
            assert await on_the_canary(other) == before
            await envoy.publish_and_sync(state(envoy, 0))
            assert await on_the_canary(envoy) == set()


async def test_a_minted_cookie_keeps_its_user(processes: Children, protocol: str) -> None:
    """The first response sets it; with it every further one is of the same version."""
    sticky = Sticky(source="cookie", name="lane", ttl=60.0)
    async with model() as one, model() as two:
        versions = {"v1": [one], "v2": [two]}
        async with envoy_in_sync(
            processes, protocol, lambda e: e.fraud(versions=versions, sticky=sticky, canary=5000)
        ) as envoy:
            seen = set()
            for first in await get_many(envoy.port, 30):
                minted = re.fullmatch(
                    r"(lane=\S+); Path=/; Max-Age=60; HttpOnly; SameSite=Lax", first.headers["set-cookie"]
                )
                assert minted
                for _ in range(2):
                    again = await get(envoy.port, headers={"cookie": minted[1]})
                    assert again.version == first.version
                    assert "set-cookie" not in again.headers
                seen.add(first.version)
            assert seen == {"v1", "v2"}


async def test_a_client_keeps_its_version_by_its_address(processes: Children, protocol: str) -> None:
    """All of these come from one."""
    async with model() as one, model() as two:
        versions = {"v1": [one], "v2": [two]}
        async with envoy_in_sync(
            processes,
            protocol,
            lambda e: e.fraud(versions=versions, sticky=Sticky(source="source_ip"), canary=5000),
        ) as envoy:
            assert len({reply.version for reply in await get_many(envoy.port, 30)}) == 1
