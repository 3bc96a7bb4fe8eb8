"""Everything that a controller exposes to Prometheus, with a series of each family."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from prometheus_client import generate_latest

from controller.core.base.errors import Code
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.commands import Command, Verb, execute
from controller.core.control.sync import CutOff
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.cluster_names import ClusterId, Role
from controller.core.model.endpoint_source import FileSource
from controller.core.model.service import Endpoint
from controller.core.model.service_state import ServiceState
from controller.core.model.source_status import SharedEndpoint, SourceStatus
from controller.core.model.view import View
from controller.core.servicefile.service_file import read_service
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.latency_buckets import EDGES_MS, BucketCounts, bucket_of
from controller.core.traffic.report_log import ReportLog
from controller.monitoring.certificate_expiry import CertificateExpiry
from controller.monitoring.controllers import ControllersState
from controller.monitoring.current_state import CurrentState
from controller.monitoring.exposition import Exposition
from controller.monitoring.metrics import Metrics
from controller.monitoring.relay_state import RelayState
from controller.ports.fleet import ConfigState, ProxyStatus
from controller.ports.observatory import Live
from controller.ports.service_files import FileProblem, FileProblemKind, FilesStatus
from controller.ports.store_health import StoreHealth
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.joined_fleet import JoinedFleet
from controller.store.memory import MemoryStore
from controller.workers.workers_state import WorkersState
from tests.builders import service_file
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.membership import alone
from tests.fakes.observatory import FakeObservatory
from tests.fakes.peers import FakePeers

SOURCES = {
    "v1": SourceStatus(FileSource(path="/v1"), (Endpoint(host="10.0.0.1", port=1),), "it is half written", 7.0),
    "v2": SourceStatus(FileSource(path="/v2"), ()),
    "v3": SourceStatus(FileSource(path="/v3")),
    "v4": SourceStatus(FileSource(path="/v4"), (Endpoint(host="10.0.0.2", port=1),), last_known=8.0),
}
SHARED = (SharedEndpoint("10.0.0.1:1", ("v1", "v2")),)


class Counted:
    """Requests of one version."""

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        return {("scorer", "v1"): {"ok": 7, "5xx": 1, "4xx": 0}}

    def unjudged_totals(self) -> Mapping[ClusterId, Mapping[str, int]]:
        return {ClusterId("scorer", "v1", Role.PINNED): {"ok": 3}}

    def durations(self) -> Mapping[tuple[str, str], BucketCounts]:
        return {("scorer", "v1"): {bucket_of(20.0): 6, bucket_of(22.0): 1, len(EDGES_MS): 1}, ("scorer", "v3"): {}}

    def first_tokens(self) -> Mapping[tuple[str, str], BucketCounts]:
        return {("scorer", "v1"): {bucket_of(20.0): 1}}


class Unconnected:
    """No stream to the one that decides."""

    connected = False


class Unheard:
    """A controller that the one that decides does not hear of."""

    def cut_off(self) -> tuple[CutOff, ...]:
        return (CutOff("two", 3, 5.0),)


def rolling() -> ServiceState:
    """The service `scorer` with a rollout of v2."""
    service = read_service(service_file()).service
    assert service
    idle = ServiceState(spec=service, source="", stable=service.stable)
    return execute(idle, Command(Verb.START, "try", canary="v2", rollout_id="r"), 0.0).state


def proxy(fleet: str, state: ConfigState = ConfigState.SYNCED) -> ProxyStatus:
    return ProxyStatus(f"node of {fleet}", fleet, "envoy", 0.0, (), state)


class OneWorker:
    """A worker that serves."""

    serving = (2,)
    ends: ClassVar[Mapping[int, int]] = {2: 0}


async def whole_exposition() -> bytes:
    """What a scrape reads once each part of a controller has something to show."""
    metrics, state = Metrics(), rolling()
    metrics.count_notifications("chat", "delivered", 1)
    metrics.count_hook_answer("gate", "pre-step", "passed")
    metrics.count_denied("http", Code.DENIED)
    observatory = FakeObservatory(View("store", 1, services={state.name: state}))
    verdict = Verdict(Outcome.UNKNOWN, ())
    live = Live(verdict, stable=verdict, evidence={"5xx": 1.0}, total_evidence=1.0, blocker=Blocker(BlockerKind.SYNC))
    more = replace(live, endpoints={"v1": EndpointHealth(3, 5, 5, 2)}, sources=SOURCES, shared=SHARED)
    await observatory.see(state.name, more)
    observatory.status = FilesStatus(2, {"scorer.yaml": FileProblem(FileProblemKind.REFUSED, "line 7: unknown key")})
    membership = alone(MemoryStore(clock=FakeClock()).members)
    clock, peers = FakeClock(), FakePeers()
    fleet = JoinedFleet(FakeFleet(), membership, peers, FollowedJudge(peers, membership, clock), clock)
    exposition = Exposition(
        metrics.registry,
        CurrentState(observatory, FakeFleet((proxy("edge"),)), Counted(), metrics, StoreHealth()),
        CertificateExpiry(lambda: {"controller": 1.0}),
        ControllersState(membership),
        RelayState(fleet, ReportLog(), Unconnected(), membership),
        WorkersState(OneWorker()),
    )
    with fleet.deciding(Unheard()):  # type: ignore[arg-type]  # it is asked for no more than that
        return generate_latest(exposition.read())
