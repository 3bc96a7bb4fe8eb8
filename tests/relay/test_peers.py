"""One controller asks another one over its admin port: whole answers, or why there is none."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest

from controller.core.control.judged import Gap
from controller.core.control.sync import CutOff, Sync
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import ServiceSync
from controller.ports.fleet import ConfigState, ProxyStatus
from controller.ports.observatory import Live
from controller.ports.peers import FleetList, Judgement, PeerLost
from controller.ports.service_files import FilesStatus
from controller.process.right_of_way import RightOfWay
from controller.relay import peer_client
from controller.relay.peer_client import PeerClient
from controller.relay.peer_service import PROXIES_AT_ONCE, SERVICE, SERVICES_AT_ONCE, PeerService
from tests.support.process import free_port

JUDGEMENT = Judgement(Live(remark="waits"), ServiceSync(3, Sync(1, 2)))


@dataclass
class Answers:
    """What the other controller knows: any service but `unknown`."""

    decides: bool = True
    fleet: FleetList = field(default_factory=lambda: FleetList(()))
    retried: list[str] = field(default_factory=list)
    deposed_after: int = 10**9
    """The number of services after which it decides no more."""

    def judgement(self, service: str) -> Judgement | None:
        self.deposed_after -= 1
        self.decides = self.decides and self.deposed_after > 0
        return None if service == "unknown" else JUDGEMENT

    def files(self) -> FilesStatus:
        return FilesStatus(2)

    def proxies(self) -> FleetList:
        return self.fleet

    async def recording(self, rollout_id: str) -> Recording | None:
        return Recording(rollout_id, "scorer", "v1", "v2", limit=20.0) if rollout_id == "r1" else None

    def retry(self, service: str) -> tuple[str, ...]:
        self.retried.append(service)
        return ("edge-1",)


@contextlib.asynccontextmanager
async def serving(port: int, *handlers: "grpc.GenericRpcHandler[bytes, bytes]") -> AsyncIterator[None]:
    """A controller's admin port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@dataclass
class Other:
    """Another controller, and a client that asks it."""

    answers: Answers
    member: Member
    client: PeerClient

    def serving(self) -> "contextlib.AbstractAsyncContextManager[None]":
        """It runs until the end of the block."""
        service = PeerService(self.answers, RightOfWay())  # type: ignore[arg-type]
        return serving(int(self.member.admin.rpartition(":")[2]), *service.handlers())


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    """It does not run yet."""
    member = Member(instance="1", name="one", since=0.0, records=1, version="9.9", admin=f"127.0.0.1:{free_port()}")
    client = PeerClient(lambda: None)
    yield Other(Answers(), member, client)
    await client.close()


async def test_long_answers_come_whole(other: Other) -> None:
    """In parts; what it does not know is left out."""
    names = [f"s{n}" for n in range(2 * SERVICES_AT_ONCE + 1)]
    statuses = [ProxyStatus(f"p{n}", "edge", "envoy", 0.0, (), ConfigState.SYNCED, controller="three", cut_off=True)
                for n in range(PROXIES_AT_ONCE + 1)]  # fmt: skip
    other.answers.fleet = FleetList(tuple(statuses), (CutOff("three", 101, 4.0),))
    async with other.serving():
        told = await other.client.judgements(other.member, [*names, "unknown"])
        assert [*told.services] == names
        assert (told.services["s0"], told.files) == (JUDGEMENT, FilesStatus(2))
        assert await other.client.proxies(other.member) == other.answers.fleet
        recording = await other.client.recording(other.member, "r1")
        assert recording
        assert (recording.rollout_id, recording.limit) == ("r1", 20.0)
        assert await other.client.recording(other.member, "r2") is None


async def test_only_the_one_that_decides_says_what_it_knows(other: Other) -> None:
    """Also if its term ends amid an answer: half of it is none. A retry is done by any controller."""
    async with other.serving():
        other.answers.deposed_after = SERVICES_AT_ONCE
        names = [f"s{n}" for n in range(2 * SERVICES_AT_ONCE)]
        with pytest.raises(PeerLost, match="does not decide") as lost:
            await other.client.judgements(other.member, names)
        assert lost.value.gap is Gap.LEADER_NOT_DECIDING
        with pytest.raises(PeerLost, match="does not decide"):
            await other.client.proxies(other.member)
        assert await other.client.retry(other.member, "scorer", "ann") == ("edge-1",)
        assert other.answers.retried == ["scorer"]


async def test_one_that_is_away_is_said_to_be_and_asked_again_once_it_is_back(other: Other) -> None:
    """A restart between two questions is no failure at all."""
    with pytest.raises(PeerLost, match="UNAVAILABLE"):
        await other.client.retry(other.member, "", "ann")
    for _ in range(2):
        async with other.serving():
            assert await other.client.retry(other.member, "", "ann") == ("edge-1",)


async def test_silence_ends_with_the_patience(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs: nobody waits for it for long."""
    monkeypatch.setattr(peer_client, "ANSWER_WITHIN", 0.1)
    way = RightOfWay()
    way.claim()
    service = PeerService(other.answers, way)  # type: ignore[arg-type]
    async with serving(int(other.member.admin.rpartition(":")[2]), *service.handlers()):
        with pytest.raises(PeerLost, match="no answer within"):
            await other.client.judgements(other.member, ["scorer"])
    way.give_up()


async def test_another_version_is_named(other: Other) -> None:
    """One that has no such method, and one whose words are not known here."""

    async def strange(_data: bytes, _context: object) -> AsyncIterator[bytes]:
        verdict = pb.Judgement(verdict=pb.Verdict(outcome="perhaps"), sync=pb.ServiceSync(service="scorer"))
        yield pb.JudgementsPart(judgements=[verdict]).SerializeToString()

    method = grpc.unary_stream_rpc_method_handler(strange)
    port = int(other.member.admin.rpartition(":")[2])
    for handlers in [(), (grpc.method_handlers_generic_handler(SERVICE, {"Judgements": method}),)]:
        async with serving(port, *handlers):
            with pytest.raises(PeerLost, match=r"9\.9, at 127.*: ") as lost:
                await other.client.judgements(other.member, ["scorer"])
            assert lost.value.gap is Gap.LEADER_OTHER_VERSION


async def test_what_is_no_request_is_refused(other: Other) -> None:
    """With what would be one."""
    async with other.serving(), grpc.aio.insecure_channel(other.member.admin) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Retry")  # type: ignore[call-arg]
        with pytest.raises(grpc.aio.AioRpcError, match=r"not a haldane\.relay\.v1\.PeerRetryRequest") as refused:
            await call(b"\xff\xff")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
