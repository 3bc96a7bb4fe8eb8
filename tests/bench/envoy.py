"""What Envoy itself pays for each feature of a route: its CPU for a request, beside a plain one in the same run.

One Envoy with one worker, loopback, requests without bodies to servers that do nothing: so the ratios are the
largest that can be seen. The load reports and statistics of Haldane are on in all of them.
"""

import asyncio
import statistics
from typing import Any

from controller.core.model.route_rules import Condition, MatchRule, Mirror, RequestHeaders, Retries, Sticky
from controller.core.model.service import Listen
from controller.core.model.service_state import ServiceState
from controller.core.model.upstream import HealthCheck, Outliers, Upstream
from controller.demo.harness.child_processes import children
from tests.bench import Row
from tests.bench.serve import cpu
from tests.support.many_requests import quick_model, versions_of
from tests.support.process import free_port
from tests.xds.envoy_under_load import EnvoyUnderLoad

REQUESTS = 4000
ROUNDS = 5
CANARY = 5000
TESTERS = tuple(
    MatchRule(conditions=(Condition(source=source, name="x-tester", value="yes"),), to="canary")  # type: ignore[arg-type]
    for source in ("header", "cookie")
)
UPSTREAM = Upstream(health=HealthCheck(kind="tcp", every=1.0), outliers=Outliers())
PLAIN: dict[str, Any] = {"retry": Retries(attempts=0), "version_header": True}
FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "retry": {"retry": Retries(attempts=1)},
    "sticky by header": {"sticky": Sticky(source="header", name="x-user-id")},
    "sticky by cookie": {"sticky": Sticky(source="cookie", name="lane", ttl=60.0)},
    "two rules of match": {"match": TESTERS},
    "shield": {"shield": True},
    "mirror of a tenth": {"mirror": Mirror(to="v3", share=1000)},
    "mirror of all": {"mirror": Mirror(to="v3", share=10_000)},
    "streaming": {"streaming": True},
    "request headers": {"request_headers": RequestHeaders(add=(("x-tier", "gold"),), remove=("x-debug",))},
    "health and outliers": {"upstreams": {"v1": UPSTREAM, "v2": UPSTREAM}},
    "access log": {"access_log": "/dev/null"},
}
FEATURES["all but a mirror of all"] = {
    key: value for name, options in FEATURES.items() if name != "mirror of all" for key, value in options.items()
}


def run() -> list[Row]:
    """For each feature the CPU of a request, and its ratio to a plain one."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    """Rounds over all features, so that what else the machine does meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in FEATURES}
    users = [f"u{number}" for number in range(REQUESTS)]
    with children() as group:
        async with quick_model() as one, quick_model() as two, quick_model() as three:
            versions = {"v1": [one], "v2": [two], "v3": [three]}
            async with EnvoyUnderLoad((), free_port()) as playing:
                playing.publish(_state(playing, versions, {}))
                await playing.open()
                envoy = await playing.envoy(group, "delta")
                for _ in range(ROUNDS):
                    for name, options in FEATURES.items():
                        await playing.publish_and_sync(_state(playing, versions, options))
                        await versions_of(playing.port, "x-user-id", users[: REQUESTS // 10])
                        before = cpu(envoy.child.pid)
                        await versions_of(playing.port, "x-user-id", users)
                        taken[name].append((cpu(envoy.child.pid) - before) / REQUESTS * 1e6)
    rows = []
    for name, each in taken.items():
        ratios = [mine / plain for mine, plain in zip(each, taken["plain"], strict=True)]
        rows.append(Row("Envoy's CPU for a request", name, statistics.median(each), "us"))
        rows.append(Row("beside a plain one", name, statistics.median(ratios), "ratio"))
    return rows


def _state(playing: EnvoyUnderLoad, versions: dict[str, list[str]], options: dict[str, Any]) -> ServiceState:
    """The service with half of the traffic at its canary."""
    given = {**PLAIN, **options}
    listen = Listen(port=playing.port, access_log=given.pop("access_log", ""))
    return playing.fraud(CANARY, versions=versions, listen=listen, **given)
