"""One xDS stream against a client that behaves, whatever happens in whatever order."""

import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.model.service_state import ServiceState
from controller.xds.protocol.discovery import Retry
from controller.xds.protocol.nacked_contents import nacked_contents
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.fuzz_examples import EXAMPLES
from tests.xds.simulated_envoy import NACK, NACK_BY_NAME, SimulatedEnvoy, SimulatedStream, settle_timeout
from tests.xds.views import service, view

PLACES = {
    "v1": (["127.0.0.1:9001"], ["127.0.0.1:9011", "127.0.0.1:9021"]),
    "v2": (["127.0.0.1:9002"], ["127.0.0.1:9012"]),
    "v3": (["127.0.0.1:9003"], ["[::1]:9013"]),
    "v4": (["model.internal:9004"], ["model.internal:9014"]),
}
"""Version -> its endpoints in two forms; those of v4 are host names."""


def forms(name: str) -> list[ServiceState | None]:
    """A service in many forms, and its absence."""
    found: list[ServiceState | None] = [None, None]
    for stable, canary in itertools.permutations(PLACES, 2):
        for index, weight in enumerate((0, 500, 10000)):
            kept = dict.fromkeys([stable, *([canary] if weight or index else []), *sorted(PLACES)[:index]])
            found.append(
                service(
                    name,
                    port=10000 + (index + len(found)) % 2,
                    hosts=(f"{name}.example",),
                    versions={version: PLACES[version][len(found) % 2] for version in kept},
                    stable=stable,
                    canary=(canary, weight) if weight else None,
                    protocol="grpc" if len(found) % 7 == 0 else "http",
                )
            )
    return found


WORLDS = st.tuples(*(st.sampled_from(forms(name)) for name in "abc")).map(lambda s: [x for x in s if x])

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), WORLDS),
        st.tuples(st.sampled_from(["hear", "take", "take", "hear", "settle"]), st.none()),
        st.tuples(st.sampled_from(["hear", "take", "hear", "take", "reconnect"]), st.none()),
    ),
    max_size=40,
)


class Play:
    """A server's worlds and one proxy, through reconnects."""

    def __init__(self, first: list[ServiceState], delta: bool, *, lazy: bool = False) -> None:
        self.snapshots = SnapshotCache()
        self.revision = 0
        self.lazy = lazy
        self.publish(first)
        self.proxy = SimulatedEnvoy(delta)
        self.connect()

    def connect(self) -> None:
        """The proxy opens a stream; what was under way on another is lost."""
        self.link = SimulatedStream(self.proxy, self.snapshot, lazy=self.lazy)

    @property
    def snapshot(self) -> Snapshot:
        """What is served now."""
        found = self.snapshots.snapshot("edge")
        assert found
        return found

    def publish(self, states: list[ServiceState]) -> None:
        """The next view."""
        self.revision += 1
        self.states = states
        assert self.snapshots.update(view(self.revision, *states))
        assert not self.snapshots.problems
        if self.revision > 1:
            self.link.step(self.snapshot)

    def act(self, name: str, states: Any) -> None:
        """One thing happens, if it can."""
        if name == "publish":
            self.publish(states)
        elif name == "reconnect":
            self.connect()
        elif name == "restart":  # the controller forgets everything but what is stored
            self.snapshots = SnapshotCache()
            self.snapshots.update(view(self.revision, *self.states))
            self.connect()
        elif name == "retry":
            self.retry()
        elif name == "settle" and not self.link.to_server:  # it means that the client has had time to ask
            settle_timeout(self.link)
        elif name == "hear" and self.link.to_server:
            self.link.deliver_request()
        elif name.startswith("take") and self.link.to_client:
            self.link.deliver_response(name.removeprefix("take").strip())
        fault = self.proxy.fault()
        assert not fault, fault

    def retry(self) -> None:
        """What the client NACKed is sent once more."""
        self.link.step(Retry(nacked_contents(self.link.stream, ""), removals=True))

    def finish(self) -> None:
        """Everything is delivered, and the client has had its time."""
        for _ in range(2):
            while self.link.to_server or self.link.to_client:
                self.act("take" if self.link.to_client else "hear", None)
            settle_timeout(self.link)

    def converged(self) -> None:
        """The client has exactly what was published last, and waits for nothing."""
        assert not self.proxy.warming
        for url in (CDS, EDS, LDS, RDS):
            wanted = self.snapshot.catalogue(url).listed
            held = self.proxy.resources_of(url)
            assert {n: r.content for n, r in held.items()} == {n: r.content for n, r in wanted.items()}, url


@pytest.mark.proves("xds-rule 36")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(first=WORLDS, acts=ACTS)
@settings(deadline=None, max_examples=EXAMPLES)
def test_every_route_has_its_cluster_and_the_client_converges(
    delta: bool, first: list[ServiceState], acts: list[tuple[str, Any]]
) -> None:
    """Whatever is published in whatever order messages travel, without reconnects no live route ever names a cluster
    that is not there and warm; and at the end the client has exactly what was published last."""
    play = Play(first, delta)
    for name, states in acts:
        if name != "reconnect":
            play.act(name, states)
    play.finish()
    play.converged()


@pytest.mark.proves("xds-rule 49")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(first=WORLDS, acts=ACTS)
@settings(deadline=None, max_examples=EXAMPLES)
def test_every_route_of_a_reconnected_client_has_its_cluster(
    delta: bool, first: list[ServiceState], acts: list[tuple[str, Any]]
) -> None:
    """The same with reconnects at any moment, whatever was published meanwhile."""
    play = Play(first, delta)
    for name, states in acts:
        play.act(name, states)
    play.finish()
    play.converged()


def coming_and_going(name: str) -> list[ServiceState | None]:
    """The few forms of a service that is deleted and declared again, and whose canary comes and goes with its route."""
    one, both = {"v1": PLACES["v1"][0]}, {"v1": PLACES["v1"][0], "v2": PLACES["v2"][0]}
    elsewhere = {"v1": PLACES["v1"][1], "v2": PLACES["v2"][0]}
    shape = partial(service, name, hosts=(f"{name}.example",))
    return [
        None,
        None,
        None,
        shape(versions=one),
        shape(versions=both),
        shape(versions=both, canary=("v2", 5000)),
        shape(versions=both, canary=("v2", 5000)),
        shape(versions=both, canary=("v2", 10_000)),
        shape(versions=both, canary=("v2", 5000), protocol="grpc"),
        shape(versions=both, canary=("v2", 5000), port=10001),
        shape(versions=elsewhere, canary=("v2", 5000)),
        shape(versions={"v2": PLACES["v2"][0]}, stable="v2"),
    ]


FEW = st.tuples(st.sampled_from(coming_and_going("a")), st.sampled_from(coming_and_going("b")[2:6])).map(
    lambda s: [x for x in s if x]
)


def churn(*more: str) -> "st.SearchStrategy[list[tuple[str, Any]]]":
    """Services that come and go while messages travel, and what else may happen."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("publish"), FEW),
            st.tuples(st.sampled_from(["hear", "take"]), st.none()),
            st.tuples(st.sampled_from(["hear", "take", "hear", "take", *more]), st.none()),
        ),
        max_size=60,
    )


@pytest.mark.proves("track-record 42")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(first=FEW, acts=churn("settle", "reconnect"), lazy=st.booleans())
@settings(deadline=None, max_examples=EXAMPLES)
def test_resources_removed_and_restored_at_once_are_routed_to_only_while_present(
    delta: bool, first: list[ServiceState], acts: list[tuple[str, Any]], lazy: bool
) -> None:
    """Deleted and declared again, its canary's cluster taken away and given back while its end still waits for the
    routes: also across reconnects, and with a client that says at once what changed twice before it could say it."""
    play = Play(first, delta, lazy=lazy)
    for name, states in acts:
        play.act(name, states)
    play.finish()
    play.converged()


@given(first=FEW, acts=churn("settle", "reconnect", "restart"), lazy=st.booleans())
@settings(deadline=None, max_examples=EXAMPLES)
def test_every_route_of_a_delta_client_has_its_cluster_after_a_controller_restart(
    first: list[ServiceState], acts: list[tuple[str, Any]], lazy: bool
) -> None:
    """It knows nothing of what was before; a Delta client says what it has. (A SotW client does
    not, so what went while both were away goes at once: docs/xds.md, known limits.)"""
    play = Play(first, delta=True, lazy=lazy)
    for name, states in acts:
        play.act(name, states)
    play.finish()
    play.converged()


REFUSALS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), WORLDS),
        st.tuples(st.sampled_from(["hear", "take", "hear", "take", "settle"]), st.none()),
        st.tuples(st.sampled_from(["hear", "take", "hear", f"take {NACK}", f"take {NACK_BY_NAME}"]), st.none()),
    ),
    max_size=40,
)


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(first=WORLDS, acts=REFUSALS)
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_nack_withholds_nothing_else(delta: bool, first: list[ServiceState], acts: list[tuple[str, Any]]) -> None:
    """A NACKed resource is never sent again, no route leads nowhere for it, and every virtual host that was not
    NACKed, and whose clusters were not, gets to the client all the same: also beside a NACKed one in its table."""
    play = Play(first, delta)
    for name, states in acts:
        play.act(name, states)
    play.finish()
    refused = play.link.nacked
    clusters, endpoints = play.snapshot.catalogue(CDS).listed, play.snapshot.catalogue(EDS).listed
    good = {n for n, c in clusters.items() if c.content not in refused}
    good &= {n for n in good if n not in endpoints or endpoints[n].content not in refused}
    for name in play.proxy.listeners.keys() & play.snapshot.catalogue(LDS).listed.keys():
        table = play.snapshot.catalogue(RDS).listed[name]
        held = play.proxy.routes.get(name)
        has = {host.content for host in held.virtual_hosts} if held else set()
        for host in table.virtual_hosts:
            if host.content not in refused and host.clusters <= good:
                assert host.content in has, host.name


@pytest.mark.proves("xds-rule 11")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(first=WORLDS, acts=st.lists(REFUSALS, max_size=4))
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_client_that_accepts_what_is_retried_converges(
    delta: bool, first: list[ServiceState], acts: list[list[tuple[str, Any]]]
) -> None:
    """Whatever was NACKed and retried before: at no time does a live route lead nowhere, and nothing is held back."""
    play = Play(first, delta)
    for some in acts:
        for name, states in some:
            play.act(name, states)
        play.retry()
    play.finish()
    play.retry()
    play.finish()
    play.converged()
