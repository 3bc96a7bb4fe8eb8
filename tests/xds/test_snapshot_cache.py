"""From a view to what each fleet is served: shared, stable in its versions, and never a worse one than before."""

import ipaddress

import pytest

from controller.core.model import service as service_model
from controller.core.model.endpoint_source import FileSource
from controller.core.model.service import Version
from controller.core.routing.servable import servable_view
from controller.xds.resources.resource_version import ResourceVersion, parse_version
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.local_server import local_server
from tests.xds.views import STORE, endpoint, service, view


def snapshot(cache: SnapshotCache, fleet: str = "") -> Snapshot:
    """What a fleet is served."""
    found = cache.snapshot(fleet)
    assert found
    return found


def test_a_version_has_store_revision_and_content() -> None:
    """The revision in sixteen digits, so that it can be compared; the content's hash, so that it can be told apart."""
    version = ResourceVersion("a.store-1", 42, "0123456789abcdef")
    assert str(version) == "a.store-1.0000000000000042-0123456789abcdef"
    assert parse_version(str(version)) == version
    for other in ("", "1", "9999999999", "store.42-0123456789abcdef", f"store.{42:016d}-XYZ", f".{42:016d}-"):
        assert parse_version(other) is None


def test_a_view_with_the_same_services_changes_the_revision_alone() -> None:
    """As after a freeze: nothing is made again, and what comes after it is not missed."""
    cache, states = SnapshotCache(), [service("a", fleets=("edge",)), service("b", port=10001)]
    cache.update(view(1, *states))
    first = {fleet: snapshot(cache, fleet) for fleet in ("edge", "other")}
    assert cache.update(view(2, *states))
    assert cache.revision == 2
    for fleet, before in first.items():
        now = snapshot(cache, fleet)
        assert (now.revision, now.counting and now.counting.revision) == (2, 2)
        assert (now.catalogues, now.routes) == (before.catalogues, before.routes)
    assert not cache.update(view(1, *states)), "an older one"
    assert cache.update(view(3, *reversed(states)))
    states[0] = service("a", fleets=("edge",), canary=("v2", 500))
    cache.update(view(4, *states))
    assert snapshot(cache, "edge").catalogue(RDS) is not first["edge"].catalogue(RDS)
    assert snapshot(cache, "other").catalogue(RDS) is first["other"].catalogue(RDS)
    cache.update(view(5, *states), {"a": {"v1": ()}})
    assert cache.revision == 5


@pytest.mark.proves("xds-rule 31", "xds-rule 41")
def test_equal_content_has_one_version_whatever_else_was_written() -> None:
    """A revision that changes nothing for a type changes nothing of its version; the types are independent."""
    cache = SnapshotCache()
    cache.update(view(1, service()))
    first = snapshot(cache)
    cache.update(view(2, service(revision=2)))
    assert {url: c.version for url, c in snapshot(cache).catalogues.items()} == {
        url: c.version for url, c in first.catalogues.items()
    }
    cache.update(view(3, service(canary=("v2", 500))))
    changed = {url for url in (CDS, EDS, LDS, RDS) if snapshot(cache).catalogue(url) is not first.catalogue(url)}
    assert changed == {RDS}
    stepped = parse_version(snapshot(cache).catalogue(RDS).version)
    assert stepped
    assert stepped.revision == 3


def test_two_processes_give_the_same_content_the_same_hash() -> None:
    """So a restart sends nothing to a client that has it; only the revision may differ."""
    one, two = SnapshotCache(), SnapshotCache()
    one.update(view(1, service()))
    two.update(view(9, service()))
    for url in (CDS, EDS, LDS, RDS):
        first, second = (
            parse_version(snapshot(one).catalogue(url).version),
            parse_version(snapshot(two).catalogue(url).version),
        )
        assert first
        assert second
        assert (first.store, first.content) == (second.store, second.content)


def test_a_step_on_a_shared_port_encodes_one_virtual_host() -> None:
    """The others are the very same bytes."""
    cache = SnapshotCache()
    states = [service(f"s{i}", hosts=(f"s{i}.example",)) for i in range(20)]
    cache.update(view(1, *states))
    before = snapshot(cache).catalogue(RDS).listed["127.0.0.1:10000"].virtual_hosts
    states[7] = service("s7", hosts=("s7.example",), canary=("v2", 500))
    cache.update(view(2, *states))
    after = snapshot(cache).catalogue(RDS).listed["127.0.0.1:10000"].virtual_hosts
    assert [a.name for a, b in zip(after, before, strict=True) if a is not b] == ["s7"]


def test_a_step_parses_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's endpoints are read once, and again when they change: not whenever its traffic moves."""
    parsed = []

    def parse(host: str) -> object:
        parsed.append(host)
        return ipaddress.ip_address(host)

    monkeypatch.setattr(service_model, "ip_address", parse)
    cache, state = SnapshotCache(), service()
    cache.update(view(1, state))
    assert parsed == ["127.0.0.1", "127.0.0.1"]
    parsed.clear()
    cache.update(view(2, state.model_copy(update={"rollout": service(canary=("v2", 500)).rollout, "revision": 2})))
    assert parsed == []
    cache.update(view(3, service(versions={"v1": ["10.0.0.1:9001"], "v2": ["model.internal:9002"]}, revision=3)))
    assert parsed == ["10.0.0.1", "model.internal"]


def test_each_fleet_has_its_own_snapshot_and_shares_the_bytes() -> None:
    """What a fleet does not serve it never sees; what two serve is encoded once."""
    cache = SnapshotCache()
    cache.update(
        view(1, service("all"), service("in", port=10001, fleets=("one",)), service("two", port=10002, fleets=("two",)))
    )
    seen = {fleet: set(snapshot(cache, fleet).catalogue(CDS).listed) for fleet in ("one", "two", "nobody")}
    assert seen == {
        "one": {"all/v1", "all/v2", "in/v1", "in/v2"},
        "two": {"all/v1", "all/v2", "two/v1", "two/v2"},
        "nobody": {"all/v1", "all/v2"},
    }
    one, two = (snapshot(cache, fleet).catalogue(CDS).listed["all/v1"] for fleet in ("one", "two"))
    assert one is two


@pytest.mark.proves("xds-rule 51")
@pytest.mark.parametrize("why", ["unroutable", "clash", "unreadable"])
def test_one_invalid_service_keeps_its_last_snapshot_and_the_others_continue(why: str) -> None:
    """A version that carries traffic without endpoints, a port taken from another, a record that cannot be read."""
    good, bad = service("good"), service("bad", port=10001, canary=("v2", 500))
    cache = SnapshotCache()
    cache.update(view(1, good, bad))
    was = snapshot(cache).catalogue(RDS).listed["127.0.0.1:10001"]
    moved = service("good", canary=("v2", 1000))
    new = view(2, moved)
    if why == "unroutable":
        new = view(
            2, moved, service("bad", port=10001, versions={"v1": [], "v2": ["127.0.0.1:9002"]}, canary=("v2", 600))
        )
    elif why == "clash":
        new = view(2, moved, service("bad", port=10000, canary=("v2", 600)))
    else:
        new = type(new)(new.store_id, 2, new.services, broken={"bad": "no JSON"})
    assert cache.update(new)
    assert list(cache.problems) == ["bad"]
    tables = snapshot(cache).catalogue(RDS).listed
    assert tables["127.0.0.1:10001"] is was
    assert tables["127.0.0.1:10000"].content != was.content
    cache.update(view(3, moved, service("bad", port=10001)))
    assert not cache.problems


def test_a_new_service_never_displaces_a_served_one() -> None:
    """Whatever their names."""
    old, new = service("z"), service("a")
    served, problems = servable_view(view(2, old, new), {"z": old})
    assert (list(served.services), list(problems)) == (["z"], ["a"])
    assert "both claim" in problems["a"]


def test_an_older_view_is_ignored() -> None:
    """An older view of the same store, or the empty one of another, is not taken; another store's full one is."""
    cache = SnapshotCache()
    assert cache.update(view(5, service()))
    assert not cache.update(view(4, service(canary=("v2", 500))))
    assert not cache.update(view(9, store="another"))
    assert set(snapshot(cache).catalogue(CDS).listed) == {"fraud/v1", "fraud/v2"}
    assert cache.update(view(1, service("new"), store="another"))
    assert cache.update(view(2, store="another"))
    assert snapshot(cache).empty


@pytest.mark.proves("track-record 48")
async def test_a_service_that_cannot_be_encoded_keeps_its_last_snapshot_and_the_others_continue() -> None:
    """Half a surrogate in a name is no text: whoever fails by itself is named, and holds no one up."""
    async with local_server() as xds:
        good, bad = service("good"), service("bad", port=10001)
        xds.xds.publish(view(1, good, bad))
        broken = service("bad", port=10001, hosts=("\ud800",), canary=("v2", 500))
        xds.xds.publish(view(2, service("good", canary=("v2", 500)), broken))
        assert [name for name, why in xds.xds.problems.items() if "cannot be encoded" in why] == ["bad"]
        client = xds.open()
        await client.send(type_url=RDS, resource_names=["127.0.0.1:10000", "127.0.0.1:10001"], node="edge-1")
        response = await client.read()
        assert ["0000000000000002" in response.version_info, len(response.resources)] == [True, 2]
        xds.xds.publish(view(3, service("good", canary=("v2", 500)), bad))
        assert not xds.xds.problems


def test_versions_start_with_the_store_id() -> None:
    """The store's id begins every version."""
    cache = SnapshotCache()
    cache.update(view(1, service()))
    assert all(c.version.startswith(f"{STORE}.") for c in snapshot(cache).catalogues.values())


def test_a_listener_of_ones_own_has_its_routes_by_name() -> None:
    """Services that name it share one route configuration, and no listener is served for it. A route configuration
    with a service's name is not that of the service's proxyless clients."""
    cache = SnapshotCache()
    hosts = {"fraud": ("a.example",), "ads": ("b.example",)}
    cache.update(view(1, *(service(name, hosts=host, route_config="fraud") for name, host in hosts.items())))
    found = snapshot(cache)
    assert set(found.catalogue(LDS).listed) == set()
    assert set(found.counting.catalogue(LDS).listed if found.counting else ()) == set()
    assert set(found.catalogue(RDS).listed) == {"fraud"}
    assert set(found.catalogue(CDS).listed) == {"ads/v1", "ads/v2", "fraud/v1", "fraud/v2"}
    shared = found.catalogue(RDS).find("fraud")
    assert shared
    assert [sorted(host.domains) for host in shared.virtual_hosts] == [["b.example"], ["a.example"]]
    assert set(found.routes["fraud"]) == {"fraud", "fraud/proxyless"}


def test_clusters_of_ones_own_are_not_served_and_not_waited_for() -> None:
    """Routes name them, and a client that has no clusters by CDS gets them; nothing is served to clients without a
    proxy, which could not find them."""
    spec = service(route_config="mine", own_clusters=True, canary=("v2", 500))
    versions = tuple(service_model.Version(name=name, cluster=f"model-{name}") for name in ("v1", "v2"))
    spec = spec.model_copy(update={"spec": spec.spec.model_copy(update={"versions": versions})})
    cache = SnapshotCache()
    cache.update(view(1, spec))
    found = snapshot(cache)
    assert not found.catalogue(CDS).listed
    assert not found.catalogue(EDS).listed
    assert found.catalogue(LDS).find("fraud") is None
    routes = found.catalogue(RDS).find("mine")
    assert routes
    assert routes.clusters == frozenset()
    assert b"model-v2" in routes.packed


def test_endpoints_of_a_source_change_endpoints_alone_and_no_revision() -> None:
    """Not read yet: no endpoints resource, so that a proxy keeps what it has. Then each reading is one, also an empty
    one; clusters, routes and listeners stay the same objects, and the revision that orders controllers the same."""
    state = service()
    source = FileSource(path="/v1")
    versions = (Version(name="v1", source=source), *state.spec.versions[1:])
    given = view(5, state.model_copy(update={"spec": state.spec.model_copy(update={"versions": versions})}))
    cache = SnapshotCache()
    cache.update(given)
    before = snapshot(cache)
    assert before.catalogue(EDS).listed.keys() == {"fraud/v2"}
    contents = set()
    for endpoints in ((endpoint("10.0.0.1:1"),), (endpoint("10.0.0.1:1"), endpoint("10.0.0.2:1")), ()):
        assert cache.update(given, {"fraud": {"v1": endpoints}})
        after = snapshot(cache)
        found = after.catalogue(EDS).find("fraud/v1")
        assert found
        contents.add(found.content)
        version = parse_version(found.version)
        assert version
        assert (version.revision, after.revision) == (5, 5)
        assert all(after.catalogue(url) is before.catalogue(url) for url in (CDS, LDS, RDS))
        assert after.catalogue(EDS).find("fraud/v2") is before.catalogue(EDS).find("fraud/v2")
    assert len(contents) == 3
