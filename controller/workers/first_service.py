"""What the first process serves its workers: views, and who is there (`haldane.worker.v1.First`)."""

from collections.abc import AsyncIterator, Callable, Mapping

import grpc
import structlog

from controller.core.model.member import Member
from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.worker.v1 import worker_pb2 as pb
from controller.ports.store import Store
from controller.store.local_members import LocalMembers
from controller.workers.view_messages import ViewWriter

SERVICE = "haldane.worker.v1.First"

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]


class FirstService:
    """Publishes the store to workers, and keeps their records."""

    def __init__(
        self, store: Store, members: LocalMembers, address: str, on_members: Callable[[], None] = lambda: None
    ) -> None:
        """`address` is where this service is reached: the first process's own record has it for workers. `on_members`
        is called when a worker has come or gone."""
        self._store = store
        self._members = members
        self._address = address
        self._on_members = on_members
        self._workers: dict[str, tuple[int, Member]] = {}
        """By instance."""

    @property
    def workers(self) -> Mapping[int, Member]:
        """The records of the workers that follow and serve, by number."""
        return dict(self._workers.values())

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For a socket of this user's own."""
        methods = {
            "Follow": grpc.unary_stream_rpc_method_handler(self._follow),
            "Announce": grpc.unary_unary_rpc_method_handler(self._announce),
            "ReadRoster": grpc.unary_unary_rpc_method_handler(self._read_roster),
        }
        return (grpc.method_handlers_generic_handler(SERVICE, methods),)

    async def _follow(self, data: bytes, _context: Context) -> AsyncIterator[bytes]:
        instance = pb.FollowRequest.FromString(data).instance
        writer, view = ViewWriter(), self._store.newest()
        try:
            for part in writer.parts(view):
                yield part.SerializeToString()
            async for newer in self._store.watch(view.revision):
                for part in writer.parts(newer):
                    yield part.SerializeToString()
        except StoreLost as lost:  # it was closed
            log.info("workers_left", reason=str(lost))
        finally:
            self._members.remove(instance)
            if self._workers.pop(instance, None):
                self._on_members()

    async def _announce(self, data: bytes, _context: Context) -> bytes:
        announcement = pb.Announcement.FromString(data)
        member = Member.model_validate_json(announcement.member)
        is_new = member.instance not in self._workers
        self._workers[member.instance] = announcement.number, member
        await self._members.announce(member)
        if is_new:
            self._on_members()
        return b""

    async def _read_roster(self, _data: bytes, _context: Context) -> bytes:
        roster = await self._members.roster()
        leader = roster.leader
        members = [self._reached(each, leads=roster.leads(each)) for each in roster.members]
        return pb.Roster(
            members=[each.model_dump_json() for each in members],
            leader=pb.Leader(**leader._asdict()) if leader else None,
        ).SerializeToString()

    def _reached(self, member: Member, *, leads: bool) -> Member:
        """The record with the address at which workers reach that process."""
        return member.model_copy(update={"admin": self._address}) if leads else member
