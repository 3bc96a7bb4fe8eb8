"""What every replica and every proxy is held against: what the store's views mean, worked out once, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.xds.resources.resource import Resource
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import PUSH_ORDER, RDS
from tests.model.replica import FLEET, Replica
from tests.model.served_routes import check_routes
from tests.model.store_checker import StoreChecker
from tests.model.values import NAMES
from tests.xds.simulated_envoy import SimulatedEnvoy
from tests.xds.walked_sync import walked_sync

NONE = ""
"""The content of a route table that is not there: its service is deleted."""

Stage = tuple[str, int, int, bool]


@dataclass
class Truth:
    """Follows every view without skipping one, and time as it really passed."""

    checker: StoreChecker
    world: SnapshotCache = field(default_factory=SnapshotCache)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    moments: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """(route table, content) -> the revisions at which this was what it should be."""
    reached: dict[tuple[str, str], int] = field(default_factory=dict)
    """(proxy, route table) -> the latest revision whose routes it has had."""
    stages: dict[str, Stage] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))

    def __post_init__(self) -> None:
        self.learn()

    def learn(self) -> None:
        """Take every view that is new."""
        for view in self.checker.views[len(self.snapshots) :]:
            self.world.update(view)
            snapshot = self.world.snapshot(FLEET)
            assert snapshot is not None
            self.snapshots[view.revision] = snapshot
            listed = snapshot.catalogue(RDS).listed
            for table in {*listed, *(table for table, _ in self.moments)}:
                content = listed[table].content if table in listed else NONE
                self.moments.setdefault((table, content), []).append(view.revision)
            for name, state in view.services.items():
                self._enter(name, state)
                if name not in self.world.problems:
                    check_routes(state, listed.values())

    def passed(self, seconds: float) -> None:
        """So many seconds were watched."""
        self.learn()
        for name in NAMES:
            self.watched[name] += seconds

    def soaked(self, name: str) -> float:
        """For how long the present stage of that service's rollout was watched, at most."""
        self.learn()
        return self.watched[name]

    @pytest.mark.proves("promise 2", "promise 6", "promise 13")
    def check_replica(self, replica: Replica) -> None:
        """At the same revision the same bytes everywhere; routes name only clusters of the same snapshot."""
        snapshot, truth = replica.snapshot, self.snapshots[replica.world.revision]
        clusters = snapshot.catalogue(PUSH_ORDER[0]).listed.keys()
        for url in PUSH_ORDER:
            ours, theirs = snapshot.catalogue(url).listed, truth.catalogue(url).listed
            assert _bytes(ours) == _bytes(theirs), f"{replica.name} serves something else at {snapshot.revision}"
        assert all(table.clusters <= clusters for table in snapshot.catalogue(RDS).listed.values())
        for name, link in replica.links.items():
            assert len(link.to_client) <= len(PUSH_ORDER), f"more than one reply of a type is under way to {name}"
        for service in NAMES:
            found = walked_sync(replica.observed(), service)
            assert replica.sync(service) == found, f"{replica.name} has miscounted who is in sync"

    @pytest.mark.proves("promise 1", "promise 5")
    def check_proxy(self, name: str, proxy: SimulatedEnvoy) -> None:
        """A proxy serves only what was true at some revision, never one before that it had, and nothing that is not
        there."""
        assert not proxy.fault(), proxy.fault()
        had = {table for proxy_name, table in self.reached if proxy_name == name}
        for table in {*proxy.routes, *had}:
            content = proxy.routes[table].content if table in proxy.routes else NONE
            moments = self.moments.get((table, content))
            assert moments, f"{name} serves weights that were never committed"
            last = self.reached.get((name, table), 0)
            later = [revision for revision in moments if revision >= last]
            assert later, f"{name} went back from revision {last} to {moments[-1]}"
            # Delta has no word for what a proxy has no more, so a controller that is behind may bring it back.
            self.reached[name, table] = 0 if content == NONE and proxy.delta else later[0]

    @pytest.mark.proves("promise 7")
    def check_unmoved(self, before: Mapping[str, Resource], after: Mapping[str, Resource]) -> None:
        """A restart moved no traffic: what was true still stands, and only what had changed meanwhile came."""
        self.learn()
        newest = self.snapshots[self.checker.view.revision].catalogue(RDS).listed
        for table, resource in after.items():
            same = table in before and before[table].content == resource.content
            due = table in newest and resource.content == newest[table].content
            assert same or due, "a restart moved traffic"

    def check_newest(self, proxy: SimulatedEnvoy) -> None:
        """The proxy serves the newest routes."""
        newest = self.snapshots[self.checker.view.revision].catalogue(RDS).listed
        theirs, ours = ({t: r.content for t, r in tables.items()} for tables in (proxy.routes, newest))
        assert theirs == ours, "a proxy does not serve what was decided"

    def _enter(self, name: str, state: ServiceState) -> None:
        rollout = state.rollout
        if rollout is None:
            return
        stage = (rollout.id, rollout.step, rollout.weight, Phase.BAKING in (rollout.phase, rollout.paused_in))
        if self.stages.get(name) != stage:
            self.stages[name] = stage
            self.watched[name] = 0.0


def _bytes(resources: Mapping[str, Resource]) -> dict[str, bytes]:
    return {name: resource.packed for name, resource in resources.items()}
