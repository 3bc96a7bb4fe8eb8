"""The right to decide, as a key under a lease: its create revision is the token."""

import asyncio
import contextlib
import json

import structlog

from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.store import Term
from controller.process.backoff import backoff
from controller.store.etcd.client import ATTEMPT, Compacted, EtcdClient, Lost
from controller.store.etcd.keys import Keys

TTL = 10
"""Seconds that a lease lasts beyond its last renewal: for so long nobody decides after the leader's machine died."""
AGAIN = 0.1
"""Seconds until a renewal is tried at the next member; then twice as long, and so on."""
RETRY = 0.2
"""Seconds until a lost watch for the end of the present term is begun again."""

log = structlog.get_logger()


class LeaseTerm(Term):
    """A term, kept up by renewing its lease. It ends by the own monotonic clock once two thirds of the lease have gone
    by without a renewal: safety is in the token, and this saves decisions that would be refused."""

    def __init__(self, token: int, client: EtcdClient, lease: int, ttl: int, asked_at: float) -> None:
        """`asked_at`, by the loop's clock, is when the lease was asked for: it began no earlier."""
        super().__init__(token)
        self._client = client
        self._lease = lease
        self._ttl = ttl
        self.is_revoked = False
        """Whether its lease is known to have ended."""
        self._expiry = asyncio.get_running_loop().call_at(asked_at + ttl * 2 / 3, self._expire)
        self._renewing = asyncio.create_task(self._renew())

    async def give_up(self) -> None:
        """End the term and the lease, so that another replica need not wait for it. Raises nothing."""
        self._renewing.cancel()
        self._expiry.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        self.end()
        try:
            await self._client.revoke_lease(self._lease)
            self.is_revoked = True
        except StoreLost as lost:
            log.info("lease_not_revoked", reason=str(lost))

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        usual = self._ttl / 6
        pause, pauses = usual, backoff(AGAIN, usual)
        while not self.over:
            await asyncio.sleep(pause)
            asked = loop.time()
            try:
                if not await self._client.renew_lease(self._lease, within=min(ATTEMPT, usual)):
                    log.warning("lease_ended", token=self.token)
                    self.end()
                    return
            except StoreLost as lost:
                log.warning("lease_not_renewed", reason=str(lost))
                pause = next(pauses)  # at another member, before the term is over
                continue
            pause, pauses = usual, backoff(AGAIN, usual)
            self._expiry.cancel()
            self._expiry = loop.call_at(asked + self._ttl * 2 / 3, self._expire)

    def _expire(self) -> None:
        log.warning("lease_unrenewed_too_long", token=self.token)
        self.end()


async def campaign(client: EtcdClient, keys: Keys, about: dict[str, object], ttl: int = TTL) -> LeaseTerm:
    """Wait until nobody leads, and begin a term. `about` is shown to people. `StoreLost`: perhaps one has begun whose
    token is lost; its lease ends by itself."""
    while True:
        await _until_nobody_leads(client, keys)
        asked_at = asyncio.get_running_loop().time()
        lease = await client.grant_lease(ttl)
        value = json.dumps(about).encode()
        put = pb.PutRequest(key=keys.leader.encode(), value=value, lease=lease)
        free = pb.Compare(target=pb.Compare.CREATE, key=keys.leader.encode(), create_revision=0)
        request = pb.TxnRequest(compare=[free], success=[pb.RequestOp(request_put=put)])
        response = None
        try:
            response = await client.txn(request)
        finally:
            if response is None or not response.succeeded:
                with contextlib.suppress(StoreLost):
                    await client.revoke_lease(lease)
        if response.succeeded:
            return LeaseTerm(response.header.revision, client, lease, ttl, asked_at)


async def _until_nobody_leads(client: EtcdClient, keys: Keys) -> None:
    while True:
        present = await client.range(keys.leader)
        if not present.kvs:
            return
        if not present.kvs[0].lease:
            log.error("leader_without_lease", key=keys.leader, reason="no controller wrote it: delete it")
        try:
            async with contextlib.aclosing(client.watch(keys.leader, present.header.revision + 1)) as events:
                async for response in events:
                    if any(event.type == pb.Event.DELETE for event in response.events):
                        return
        except (Lost, Compacted):
            await asyncio.sleep(RETRY)
