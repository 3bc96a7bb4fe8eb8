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
        self._reported: set[tuple[bytes, int]] = set()
        """The keys, each with the revision at which it was written, whose unreadable records the log has."""

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
        records = [self._member(kv) for kv in found]
        return Roster.of((each for each in records if each), self._leader(leads[0]) if leads else None)

    def _member(self, kv: pb.KeyValue) -> Member | None:
        try:
            return Member.model_validate_json(kv.value)
        except ValidationError as error:
            self._report(kv, str(error.errors()[0]["msg"]))
            return None

    def _leader(self, kv: pb.KeyValue) -> Leader:
        """One that cannot be read decides all the same: no other one can while its key is there."""
        try:
            about = json.loads(kv.value)
            return Leader(str(about["who"]), kv.create_revision, float(about["since"]))
        except (ValueError, KeyError, TypeError) as error:
            self._report(kv, str(error))
            return Leader("", kv.create_revision, 0.0)

    def _report(self, kv: pb.KeyValue, reason: str) -> None:
        """Log once what cannot be read."""
        if (written := (kv.key, kv.mod_revision)) not in self._reported:
            self._reported = {*list(self._reported)[-99:], written}
            log.warning("member_unreadable", key=kv.key.decode(errors="replace"), reason=reason)
