"""Snapshots are made of the ones before; they are the same as if they were made anew."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.model.service_state import ServiceState
from controller.core.routing.clashes import find_clashes
from controller.core.routing.routing import SourcedVersions
from controller.xds.resources.resource_version import parse_version
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.views import service, view

FLEETS = ("edge", "core", "neither")
HOSTS = [("*",), ("x.example",), ("x.example", "y.example"), ("y.example", "z.example")]
SERVICES = st.none() | st.fixed_dictionaries(
    {
        "port": st.sampled_from([10000, 10000, 10001]),
        "hosts": st.sampled_from(HOSTS),
        "fleets": st.sampled_from([(), (), ("edge",), ("core",)]),
        "canary": st.sampled_from([None, ("v2", 500), ("v2", 5000)]),
        "shield": st.booleans(),
        "streaming": st.booleans(),
    }
)
"""Each has a path of its own, so that services share domains, and hardly ever clash."""
STEPS = st.lists(st.fixed_dictionaries(dict.fromkeys("abcd", SERVICES)), min_size=1, max_size=6)


def made(name: str, options: dict[str, Any]) -> ServiceState:
    """A service of that name."""
    return service(name, prefix=f"/{name}", **options)


def described(snapshot: Snapshot) -> dict[str, Any]:
    """Everything in it but the revisions, which say when a resource came."""
    found: dict[str, Any] = {"routes": snapshot.routes}
    for url in (CDS, EDS, LDS, RDS):
        catalogue = snapshot.catalogue(url)
        version = parse_version(catalogue.version)
        assert version
        for kind, group in (("listed", catalogue.listed), ("named", catalogue.named)):
            found[f"{kind} {url}"] = {
                name: (each.content, each.packed, [host.name for host in each.virtual_hosts])
                for name, each in group.items()
            }
        found[f"version {url}"] = version.content
    return found


def served(cache: SnapshotCache) -> list[dict[str, Any]]:
    """What each fleet is served, with and without loggers."""
    snapshots = [cache.snapshot(fleet, counting=counting) for fleet in FLEETS for counting in (False, True)]
    assert all(snapshots)
    return [described(snapshot) for snapshot in snapshots if snapshot]


@settings(max_examples=40)
@given(STEPS)
def test_a_snapshot_is_the_same_whatever_came_before(steps: list[dict[str, dict[str, Any] | None]]) -> None:
    """Services come, go, move, change fleets and weights; what did not change stays the same object."""
    cache, states = SnapshotCache(), dict[str, ServiceState]()
    before: Mapping[str, Any] = {}
    for revision, step in enumerate(steps, 1):
        fresh = {name: made(name, options) for name, options in step.items() if options}
        states = {name: known if (known := states.get(name)) == state else state for name, state in fresh.items()}
        if find_clashes(states.values()):
            return  # then what was served before has its place still
        assert cache.update(view(revision, *states.values()))
        anew = SnapshotCache()
        assert anew.update(view(revision, *states.values()))
        assert served(cache) == served(anew)
        snapshot = cache.snapshot("neither")
        assert snapshot
        now = {
            (url, name): each for url in (CDS, EDS, LDS, RDS) for name, each in snapshot.catalogue(url).listed.items()
        }
        for key, resource in now.items():
            if key in before and before[key].content == resource.content:
                assert before[key] is resource
        before = now


def test_the_endpoints_of_sources_are_those_that_were_read_last() -> None:
    """The view stays the same; the endpoints of its sources do not."""
    cache, states = SnapshotCache(), (service("a"), service("b", prefix="/b"))
    endpoints = states[0].spec.versions[0].endpoints
    readings: list[dict[str, SourcedVersions]] = [{}, {"a": {"v1": endpoints}}, {"a": {"v1": ()}}, {}]
    for sourced in readings:
        anew = SnapshotCache()
        for each in (cache, anew):
            assert each.update(view(1, *states), sourced)
        assert served(cache) == served(anew)
