"""How a worker follows the first process: `followed_store.Views`, and `ports.members.Members`."""

from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message

from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.pb.haldane.worker.v1 import worker_pb2 as pb
from controller.process.raw_messages import as_is
from controller.store.records import Unreadable
from controller.workers.first_service import SERVICE
from controller.workers.view_messages import ViewReader

ANSWER_WITHIN = 2.0
"""Seconds for an answer on this machine: while it is very busy, the first process is."""
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class FirstClient:
    """One channel to the first process."""

    def __init__(self, address: str, number: int, instance: str) -> None:
        """`number` says which of the workers this is, `instance` names this run of it."""
        self.writes = Writes.YES
        self._number = number
        self._instance = instance
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)

    async def views(self) -> AsyncIterator[View]:
        """The newest view, then each that follows. `StoreLost` ends it."""
        reader = ViewReader()
        call = self._channel.unary_stream(f"/{SERVICE}/Follow", as_is, as_is)(
            pb.FollowRequest(instance=self._instance).SerializeToString()
        )
        try:
            async for data in call:
                if view := reader.read(pb.ViewPart.FromString(data)):
                    yield view
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from None
        except Unreadable as error:
            raise StoreLost(f"a record of the first process cannot be read: {error}") from error
        finally:
            call.cancel()
        raise StoreLost("the first process has ended the stream")

    async def announce(self, member: Member) -> None:
        """Have the first process keep this worker's record. `StoreLost`: perhaps it does."""
        await self._answer("Announce", pb.Announcement(number=self._number, member=member.model_dump_json()))

    async def withdraw(self) -> None:
        """Nothing: the record goes when this worker no longer follows."""

    async def roster(self) -> Roster:
        """Every process, and which one decides. `StoreLost` without an answer."""
        message = pb.Roster.FromString(await self._answer("ReadRoster", pb.RosterRequest()))
        leader = message.leader
        decides = Leader(leader.instance, leader.token, leader.since) if message.HasField("leader") else None
        return Roster.of(map(Member.model_validate_json, message.members), decides)

    async def _answer(self, method: str, request: Message) -> bytes:
        call = self._channel.unary_unary(f"/{SERVICE}/{method}", as_is, as_is)
        try:
            answer: bytes = await call(request.SerializeToString(), timeout=ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from None
        return answer


def _lost(error: grpc.aio.AioRpcError) -> StoreLost:
    return StoreLost(f"the first process does not answer: {error.code().name}: {error.details()}")
