"""The records of the controllers that share a store in etcd. Implements `ports.members.Members`."""

import contextlib
import json

import structlog
from pydantic import ValidationError

from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.client import EtcdClient, prefix_end
from controller.store.etcd.keys import Keys

log = structlog.get_logger()


class MemberRecords:
    """Each record is under a lease of its own controller, and goes with it."""

    def __init__(self, client: EtcdClient, keys: Keys, ttl: int) -> None:
        """A record that is not renewed lasts for `ttl` seconds."""
        self.writes = Writes.YES
        self._client = client
        self._keys = keys
        self._ttl = ttl
        self._lease: int | None = None

    async def announce(self, member: Member) -> None:
        """Store the record, and renew its lease. `StoreLost`: perhaps it was."""
        if self._lease is None or not await self._client.renew_lease(self._lease):
            self._lease = await self._client.grant_lease(self._ttl)
        await self._client.put(self._keys.member(member.instance), member.model_dump_json().encode(), lease=self._lease)

    async def withdraw(self) -> None:
        """End the lease, and with it the record."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with contextlib.suppress(StoreLost):
                await self._client.revoke_lease(lease)

    async def roster(self) -> Roster:
        """Every record, and who decides, at one revision. `Lost` without an answer."""
        prefix = self._keys.members
        members = pb.RangeRequest(key=prefix.encode(), range_end=prefix_end(prefix).encode())
        leader = pb.RangeRequest(key=self._keys.leader.encode())
        request = pb.TxnRequest(success=[pb.RequestOp(request_range=each) for each in (members, leader)])
        response = await self._client.txn(request)
        found, leads = (each.response_range.kvs for each in response.responses)
        records = (_member(kv) for kv in found)
        return Roster.of((each for each in records if each), _leader(leads[0]) if leads else None)


def _member(kv: pb.KeyValue) -> Member | None:
    try:
        return Member.model_validate_json(kv.value)
    except ValidationError as error:
        log.warning("member_unreadable", key=kv.key.decode(errors="replace"), reason=str(error))
        return None


def _leader(kv: pb.KeyValue) -> Leader:
    about = json.loads(kv.value)
    return Leader(str(about.get("who", "")), kv.create_revision, float(about.get("since", 0.0)))
