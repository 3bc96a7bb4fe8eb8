"""The client of etcd: what its answers mean, who it is for etcd, and members that hang."""

import asyncio
import base64
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from controller.core.model.change import Change
from controller.core.model.store_errors import Conflict, DiskFull, NotWritten, StoreError, StoreLost, TooLarge
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.answers import Rejected, Seen, loss_of, refusal_of
from controller.store.etcd.channels import TlsContent
from controller.store.etcd.client import EtcdClient, Lost
from controller.store.etcd.etcd_store import EtcdStore, Limits
from controller.store.etcd.login import Login, User
from controller.store.etcd.transaction import put
from tests.builders import change, freeze, freezing
from tests.fakes.clock import FakeClock
from tests.store.etcd_replicas import Replicas, gateway
from tests.support.authority import Authority
from tests.support.etcd import EtcdCluster, etcd_cluster
from tests.support.waiting import wait_until

NEEDS_ETCD = pytest.mark.requires("etcd")
Code = grpc.StatusCode


def error(code: Code, details: str) -> grpc.aio.AioRpcError:
    """As gRPC raises it."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, "")


class TestAnswers:
    """What etcd refuses is surely not done; after anything else it perhaps is."""

    @pytest.mark.parametrize(
        ("code", "details", "kind"),
        [
            (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", DiskFull),
            (Code.INVALID_ARGUMENT, "etcdserver: request is too large", TooLarge),
            (Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request", TooLarge),
            (Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (3 vs. 2)", TooLarge),
            (Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Rejected),
            (Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request", Rejected),
            (Code.PERMISSION_DENIED, "etcdserver: permission denied", Rejected),
            (Code.UNAUTHENTICATED, "etcdserver: invalid auth token", Rejected),
            (Code.NOT_FOUND, "etcdserver: requested lease not found", Rejected),
        ],
    )
    def test_refused(self, code: Code, details: str, kind: type[NotWritten]) -> None:
        """With the reason that a person can act on."""
        refused = refusal_of(error(code, details))
        assert type(refused) is kind
        assert kind is DiskFull or details in str(refused)

    @pytest.mark.parametrize(
        ("code", "details"),
        [
            (Code.UNAVAILABLE, "etcdserver: request timed out"),
            (Code.UNAVAILABLE, "etcdserver: leader changed"),
            (Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
            (Code.INTERNAL, "Internal error from Core"),
            (Code.UNKNOWN, "context canceled"),
            (Code.CANCELLED, ""),
        ],
    )
    def test_perhaps_done(self, code: Code, details: str) -> None:
        """Never taken for a refusal."""
        assert refusal_of(error(code, details)) is None

    @pytest.mark.parametrize(
        ("code", "details", "said"),
        [
            (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", "no answer within 1.5 s"),
            (Code.UNAVAILABLE, "context deadline exceeded", "no answer within 1.5 s"),
            (Code.UNAVAILABLE, "etcdserver: no leader", "it sees no majority of the members"),
            (
                Code.UNAVAILABLE,
                "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:2379: "
                "Failed to connect to remote host: Connection refused",
                "Connection refused",
            ),
            (
                Code.UNAVAILABLE,
                "failed to connect to all addresses; last error: x: ipv6:[::1]:1: Ssl failed",
                "Ssl failed",
            ),
            (
                Code.UNAVAILABLE,
                "Handshake read failed",
                "Handshake read failed: does it speak TLS, with a certificate of ca_file in [etcd]?",
            ),
            (Code.UNAVAILABLE, "etcdserver: leader changed", "etcdserver: leader changed"),
            (Code.CANCELLED, "", "CANCELLED"),
        ],
    )
    def test_what_is_said_of_a_member_that_gave_no_answer(self, code: Code, details: str, said: str) -> None:
        """Short, and without the address, which is named beside it."""
        assert loss_of(error(code, details), 1.5) == said

    @pytest.mark.parametrize(
        ("header", "floor", "fault"),
        [
            ({"cluster_id": 2, "raft_term": 9, "revision": 99}, 1, "another cluster"),
            ({"cluster_id": 1, "raft_term": 4, "revision": 99}, 1, "raft term 4 after 5"),
            ({"cluster_id": 1, "raft_term": 5, "revision": 9}, 10, "revision 9 after 10"),
            ({"cluster_id": 1, "raft_term": 5, "revision": 9}, 9, ""),
            ({"cluster_id": 1, "raft_term": 6, "revision": 10}, 10, ""),
        ],
    )
    def test_an_answer_that_is_older_than_one_before_does_not_count(
        self, header: dict[str, int], floor: int, fault: str
    ) -> None:
        """By cluster, raft term and, for what a quorum answers, revision; and it leaves no trace."""
        seen = Seen()
        assert not seen.fault(pb.ResponseHeader(cluster_id=1, raft_term=5, revision=10), 1)
        said = seen.fault(pb.ResponseHeader(**header), floor)
        assert fault in said if fault else said == ""
        assert seen.revision == 10

    async def test_a_token_is_asked_for_once_by_many(self) -> None:
        """Who finds it expired makes it be asked for again, but not who used the one before."""
        asked = iter(["one", "two"])

        async def ask() -> str:
            await asyncio.sleep(0)
            return next(asked)

        login = Login(ask)
        first, *others = await asyncio.gather(*(login.metadata() for _ in range(3)))
        assert [first, *others] == [(("token", "one"),)] * 3
        for _ in range(3):
            login.expired(first)
            assert await login.metadata() == (("token", "two"),)


@pytest.fixture
async def clients() -> AsyncIterator[Callable[..., EtcdClient]]:
    """Makes clients that are closed with the test."""
    made: list[EtcdClient] = []

    def make(*arguments: object, **options: object) -> EtcdClient:
        made.append(EtcdClient(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        await each.close()


Clients = Callable[..., EtcdClient]


@NEEDS_ETCD
async def test_users(tmp_path: Path, clients: Clients) -> None:
    """Without a user, with a wrong password, without a right: refused, and it says so. A token that etcd knows no
    longer is renewed without a failed call, a watch and a lease among them; a new password is read."""
    with etcd_cluster(tmp_path / "etcd") as cluster:
        (endpoint,) = cluster.endpoints
        await wait_until(lambda: _answers(cluster))
        for name in ("root", "haldane"):
            await gateway(endpoint, "auth/user/add", name=name, password="first")
            await gateway(endpoint, "auth/role/add", name=name)
            await gateway(endpoint, "auth/user/grant", user=name, role=name)
        bounds = {"key": _b64("/"), "range_end": _b64("0")}
        await gateway(endpoint, "auth/role/grant", name="haldane", perm={"permType": "READWRITE", **bounds})
        before = clients([endpoint], user=User("haldane", lambda: "first"))
        await before.put("/x", b"before there is access control")
        await gateway(endpoint, "auth/enable")

        passwords = {"now": "first"}
        replicas = Replicas(tmp_path, FakeClock(), cluster)
        client = clients([endpoint], user=User("haldane", lambda: passwords["now"]))
        store = await replicas.open(client=client)
        term = await store.campaign("leader")
        assert await store.commit(change("one"), term.token) == 1
        await before.put("/x", b"and after it")
        with pytest.raises(Rejected, match="permission denied"):
            await client.put("elsewhere", b"")
        with pytest.raises(Rejected, match=r"Is \[etcd\] user set"):
            await clients([endpoint]).put("/x", b"")
        with pytest.raises(Rejected, match="authentication failed"):
            await clients([endpoint], user=User("haldane", lambda: "wrong")).put("/x", b"")

        cluster.members[0].kill()  # tokens are kept in memory
        cluster.start(cluster.members[0])
        await wait_until(lambda: _revision(store, change("two")))
        root = (await gateway(endpoint, "auth/authenticate", name="root", password="first"))["token"]
        passwords["now"] = "second"
        await gateway(endpoint, "auth/user/changepw", token=str(root), name="haldane", password="second")
        assert await store.command(change("three")) == 3
        follower = await replicas.open("other", client=clients([endpoint], user=User("haldane", lambda: "second")))
        assert await store.command(change("four")) == 4
        await wait_until(lambda: "four" in follower.newest().services, 2)
        assert not term.over
        await replicas.close()


@NEEDS_ETCD
async def test_tls_with_a_client_certificate(tmp_path: Path, clients: Clients) -> None:
    """Without one, and with another CA's, nothing is answered; one that is replaced is taken up without a restart."""
    authority, other = Authority(), Authority()
    folder = tmp_path / "etcd"
    folder.mkdir()
    own = authority.issue("etcd")
    for name, content in (("certificate", own.certificate), ("key", own.key), ("ca", authority.certificate)):
        (folder / name).write_bytes(content)
    good, bad = authority.issue("haldane"), other.issue("haldane")
    with etcd_cluster(folder, secured=True) as cluster:

        def tls(key: bytes | None, certificate: bytes | None, ca: bytes = authority.certificate) -> EtcdClient:
            return clients(cluster.endpoints, tls=lambda: TlsContent(ca, key, certificate), patience=0.5)

        client = tls(good.key, good.certificate)
        await wait_until(lambda: _answered(client))
        files = {"used": bad}
        rotated = clients(
            cluster.endpoints,
            tls=lambda: TlsContent(authority.certificate, files["used"].key, files["used"].certificate),
            patience=0.5,
        )
        wrong_server = tls(good.key, good.certificate, other.certificate)
        for refused in (rotated, tls(None, None), wrong_server, clients(cluster.endpoints, patience=0.5)):
            with pytest.raises(Lost):
                await refused.range("/x")
        files["used"] = good
        await wait_until(lambda: _answered(rotated))


@NEEDS_ETCD
async def test_no_space(tmp_path: Path) -> None:
    """A change is surely not applied, and the reason is shown; reads and the term go on; then it is stored again."""
    with etcd_cluster(tmp_path / "etcd") as cluster:
        replicas = Replicas(tmp_path, FakeClock(), cluster)
        store = await replicas.open()
        term = await store.campaign("leader")
        member = (await replicas.client().range("/")).header.member_id
        alarm = {"memberID": str(member), "alarm": "NOSPACE"}
        await gateway(cluster.endpoints[0], "maintenance/alarm", action="ACTIVATE", **alarm)
        with pytest.raises(DiskFull, match="NOSPACE alarm"):
            await store.command(freezing(freeze()))
        with pytest.raises(DiskFull):
            await store.probe()
        assert "NOSPACE alarm" in store.health.problem
        assert (await store.load()).freezes == ()
        assert "NOSPACE alarm" in store.health.problem  # that it can be read says nothing of it
        await gateway(cluster.endpoints[0], "maintenance/alarm", action="DEACTIVATE", **alarm)
        await store.command(freezing(freeze()))
        assert (store.health.problem, term.over) == ("", False)
        await replicas.close()


@NEEDS_ETCD
async def test_members_that_hang_or_are_gone(tmp_path: Path, clients: Clients) -> None:
    """Of three: one is paused, and a watch on it is lost in seconds; calls go to another after one lost answer. One is
    killed: commits go on. Two: nothing is stored, the term ends by the own clock, and what became of a freeze is told
    once they are back."""
    with etcd_cluster(tmp_path / "etcd", 3) as cluster:
        one, two, three = cluster.members
        client = clients(cluster.endpoints, patience=1.5)
        await wait_until(lambda: _answered(client))
        watched = clients([one.endpoint, *cluster.endpoints]).watch("/w/", 1)
        assert (await anext(watched)).created
        one.send(signal.SIGSTOP)
        begun = time.monotonic()
        ending = asyncio.create_task(_end(watched))
        rotated = clients(cluster.endpoints)
        await rotated.range("/w/")
        await rotated.txn(pb.TxnRequest(success=[put("/w/x", b"")]))
        assert time.monotonic() - begun < 2.5
        with pytest.raises(Lost, match="no answer in time"):
            await ending
        assert time.monotonic() - begun < 4.5
        one.send(signal.SIGCONT)

        replicas = Replicas(tmp_path, FakeClock(), cluster)
        store = await replicas.open(client=clients(cluster.endpoints, patience=1.5), limits=Limits(ttl=2))
        three.kill()
        await wait_until(lambda: _revision(store, change("one")))
        term = await store.campaign("leader")
        two.send(signal.SIGSTOP)
        sent = freezing(freeze())
        lost, _ = await asyncio.gather(store.command(sent), term.ended(), return_exceptions=True)
        assert isinstance(lost, StoreLost)
        assert not isinstance(lost, NotWritten)  # one member has it, and may yet agree with another one
        assert store.health.problem
        assert (term.over, list(store.newest().services)) == (True, ["one"])
        two.send(signal.SIGCONT)
        applied = await wait_until(lambda: _applied_or_sent(store, sent))
        assert (await store.load()).freezes == (freeze(),)
        lines = [line for line in await store.events() if line.change_id == sent.id]
        assert [line.revision for line in lines] == [applied]
        assert (await store.campaign("leader")).token > term.token
        with pytest.raises(Conflict, match="is over"):
            await store.commit(change("two"), term.token)
        await replicas.close()


async def _end(watched: AsyncIterator[pb.WatchResponse]) -> None:
    async for _ in watched:
        pass


async def _answers(cluster: EtcdCluster) -> bool:
    client = EtcdClient(cluster.endpoints)
    try:
        return await _answered(client)
    finally:
        await client.close()


async def _answered(client: EtcdClient) -> bool:
    try:
        await client.range("/x")
    except StoreLost:
        return False
    return True


async def _revision(store: EtcdStore, sent: Change) -> int:
    try:
        return await store.command(sent)
    except StoreError:
        return 0


async def _applied_or_sent(store: EtcdStore, sent: Change) -> int:
    """The revision of a change that was perhaps applied; sent again, it is applied once."""
    try:
        applied = await store.applied(sent.id)
    except StoreLost:
        return 0
    return applied.revision if applied else await _revision(store, sent)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
