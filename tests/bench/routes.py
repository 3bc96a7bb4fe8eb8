"""What the options of routes cost: the bytes of a route configuration of many services, and the CPU of one step."""

import statistics
import time
from dataclasses import replace
from typing import Any

from controller.core.model.route_rules import Condition, MatchRule, Mirror, RequestHeaders, Sticky
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, RDS
from tests.bench import Row
from tests.xds.views import service, view

SERVICES = 1000
STEPS = 30
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pins": {
        "match": (
            MatchRule(conditions=(Condition(source="header", name="x-tester", value="yes"),), to="canary"),
            MatchRule(conditions=(Condition(source="cookie", name="lane", value="v1"),), to="v1"),
        )
    },
    "sticky by cookie": {"sticky": Sticky(source="cookie", name="lane", ttl=86_400.0)},
    "shield": {"shield": True},
    "mirror": {"mirror": Mirror(to="v2", share=1000)},
    "headers": {"request_headers": RequestHeaders(add=(("x-tier", "gold"),), remove=("x-debug",))},
}
EVERYTHING = {key: value for options in OPTIONS.values() for key, value in options.items()}


def run() -> list[Row]:
    """For each option and all together: bytes, and the CPU of a step of one service beside that of plain routes."""
    rows: list[Row] = []
    plain = 0.0
    for name, options in {**OPTIONS, "all of them": EVERYTHING}.items():
        states = [service(f"s{n}", hosts=(f"s{n}.example",), **options) for n in range(SERVICES)]
        cache, before = SnapshotCache(), view(1, *states)
        cache.update(before)
        snapshot = cache.snapshot("edge")
        assert snapshot
        for kind, url in (("routes", RDS), ("clusters", CDS)):
            size = sum(len(resource.packed) for resource in snapshot.catalogue(url).listed.values())
            rows.append(Row(f"bytes of the {kind}, {SERVICES} services", name, size / 1000, "kB"))
        seconds = statistics.median(_steps(cache, before, options))
        plain = plain or seconds
        rows.append(Row(f"CPU of a step, {SERVICES} services", name, seconds * 1e3, "ms"))
        rows.append(Row("beside plain routes", name, seconds / plain, "ratio"))
    return rows


def _steps(cache: SnapshotCache, before: View, options: dict[str, Any]) -> list[float]:
    """The CPU seconds of each step of one service's canary."""
    taken = []
    for number in range(1, STEPS + 1):
        moved: ServiceState = service("s0", hosts=("s0.example",), canary=("v2", number * 100), **options)
        before = replace(before, revision=before.revision + 1, services={**before.services, "s0": moved})
        begun = time.process_time()
        cache.update(before)
        taken.append(time.process_time() - begun)
    return taken
