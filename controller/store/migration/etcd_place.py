"""A store in etcd, as the source or the target of a migration."""

import contextlib
import tempfile
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import ChainEnd
from controller.core.model.store_errors import StoreLost, Unusable
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.clock import Clock
from controller.store.etcd.archive import read_session, session_value
from controller.store.etcd.client import EtcdClient, prefix_end
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.etcd.keys import Keys, packed, unpacked
from controller.store.etcd.ledger_trim import read_checkpoint, store_parts
from controller.store.etcd.member_records import MemberRecords
from controller.store.etcd.replicated_state import ReplicatedState, load_state
from controller.store.etcd.stored_row import row_of, row_value
from controller.store.etcd.transaction import absent, applied_of, applied_value, deletion, put
from controller.store.migration.contents import Contents, SetAside, StoredRow
from controller.store.records import canonical, write

HELD = 60
"""Seconds that another migration into the same place waits for one that was killed."""
PAGE = 500
"""Keys read at once."""
BATCH_KEYS, BATCH_BYTES = 100, 1_000_000
"""What is written in one transaction at most: etcd takes 128 operations and 1.5 MiB."""

Connect = Callable[[], EtcdClient]
Put = tuple[str, bytes]


class EtcdPlace:
    """`etcd:HOST:PORT,...?prefix=/NAME`. Implements `Place`."""

    def __init__(self, connect: Connect, prefix: str, clock: Clock) -> None:
        """`connect` makes a client, in a running event loop."""
        self._connect = connect
        self._keys = Keys(prefix)
        self._clock = clock

    @contextlib.asynccontextmanager
    async def source(self) -> AsyncIterator["EtcdSource"]:
        """The store below the prefix. A controller that opens it meanwhile is noticed before the target is finished."""
        async with _closing(self._connect()) as client:
            if not (await client.range(self._keys.store_id)).kvs:
                raise Unusable(f"etcd has no store below {self._keys.prefix}: there is nothing to migrate")
            roster = await MemberRecords(client, self._keys, HELD).roster()
            if roster.members or roster.leader:
                named = ", ".join(f"{each.name} ({each.admin})" for each in roster.members) or "one that decides"
                raise Unusable(
                    f"controllers use the store below {self._keys.prefix}: {named}. Stop them first; the record of one "
                    "that was killed runs out within the ttl of [etcd]"
                )
            yield EtcdSource(client, self._connect, self._keys, self._clock)

    @contextlib.asynccontextmanager
    async def target(self) -> AsyncIterator["EtcdTarget"]:
        """A new store below the prefix, kept from being opened until it is finished."""
        async with _closing(self._connect()) as client:
            await client.range(self._keys.migration)  # it goes on to a member that answers
            lease = await client.grant_lease(HELD)
            try:
                token = await _hold(client, self._keys, lease)
                yield EtcdTarget(client, self._keys, lease, token)
            finally:
                with contextlib.suppress(StoreLost):
                    await client.revoke_lease(lease)


class EtcdSource:
    """A store in etcd that no controller uses. Implements `Source`."""

    def __init__(self, client: EtcdClient, connect: Connect, keys: Keys, clock: Clock) -> None:
        self._client = client
        self._connect = connect
        self._keys = keys
        self._clock = clock
        self._head = 0

    async def read(self) -> Contents:
        """Everything; the head tells afterwards whether it was all of one moment."""
        contents, self._head = await _read(self._client, self._keys)
        return contents

    async def command(self, change: Change) -> None:
        """Apply the change as a controller would."""
        with tempfile.TemporaryDirectory(prefix="haldane-") as folder:
            store = await EtcdStore.open(self._connect(), self._keys.prefix, clock=self._clock, folder=Path(folder))
            try:
                await store.command(change)
            finally:
                await store.close()

    async def check_unused(self) -> None:
        """Every change writes the head, also the first line of a term."""
        head = (await self._client.range(self._keys.head)).kvs
        roster = await MemberRecords(self._client, self._keys, HELD).roster()
        if not head or head[0].mod_revision != self._head or roster.members or roster.leader:
            raise Unusable(
                f"a controller has used the store below {self._keys.prefix} meanwhile: stop it, and migrate again"
            )


class EtcdTarget:
    """A store that is being filled. Implements `Target`."""

    def __init__(self, client: EtcdClient, keys: Keys, lease: int, token: int) -> None:
        self._client = client
        self._keys = keys
        self._lease = lease
        self._mine = pb.Compare(target=pb.Compare.CREATE, key=keys.migration_holder.encode(), create_revision=token)
        self._store_id = ""

    async def write(self, contents: Contents) -> None:
        """Write everything but the store's id, in batches, each of which only counts while nobody else fills it."""
        self._store_id = contents.view.store_id
        if contents.checkpoint.chain.last:
            ref = await store_parts(self._client, self._keys, contents.checkpoint)
            await self._do([put(self._keys.checkpoint, ref.dump())])
        for batch in _batches(_puts(contents, self._keys)):
            await self._client.renew_lease(self._lease)
            await self._do([put(*each) for each in batch])

    async def read(self) -> Contents:
        """What is there."""
        contents, _ = await _read(self._client, self._keys, self._store_id)
        return contents

    async def finish(self) -> None:
        """Give it an id and open it, in one transaction."""
        name = put(self._keys.store_id, str(uuid.uuid4()).encode())
        await self._do([name, deletion(self._keys.migration), deletion(self._keys.migration_holder)])

    async def _do(self, operations: list[pb.RequestOp]) -> None:
        response = await self._client.txn(pb.TxnRequest(compare=[self._mine], success=operations))
        if not response.succeeded:
            raise Unusable(f"another migration fills the store below {self._keys.prefix} now")


@contextlib.asynccontextmanager
async def _closing(client: EtcdClient) -> AsyncIterator[EtcdClient]:
    try:
        yield client
    finally:
        await client.close()


async def _hold(client: EtcdClient, keys: Keys, lease: int) -> int:
    """Keep controllers and other migrations out: the token of this one. What one that was killed left is deleted.

    `Unusable` if anything else is below the prefix.
    """
    holder, marker = put(keys.migration_holder, b"", lease), put(keys.migration, b"")
    nothing = pb.Compare(
        target=pb.Compare.VERSION, key=keys.below.encode(), range_end=prefix_end(keys.below).encode(), version=0
    )
    response = await client.txn(pb.TxnRequest(compare=[nothing], success=[holder, marker]))
    if response.succeeded:
        return int(response.header.revision)
    left = pb.Compare(result=pb.Compare.GREATER, target=pb.Compare.VERSION, key=keys.migration.encode(), version=0)
    request = pb.TxnRequest(compare=[left, absent(keys.migration_holder)], success=[holder])
    response = await client.txn(request)
    if response.succeeded:
        await client.delete(keys.below, f"{keys.prefix}/migration/")
        await client.delete(f"{keys.prefix}/migration0", prefix_end(keys.below))
        return int(response.header.revision)
    if (await client.range(keys.migration)).kvs:
        raise Unusable(
            f"another migration fills the store below {keys.prefix} now; if it was killed, its hold on it runs out "
            f"within {HELD} s"
        )
    raise Unusable(
        f"etcd has something below {keys.prefix} already: only an empty prefix can be the target. Choose another one "
        "with ?prefix=/NAME"
    )


async def _read(client: EtcdClient, keys: Keys, store_id: str = "") -> tuple[Contents, int]:
    """Everything, and when the head was written. `store_id` names a store that has no id yet."""
    found = (await client.range(keys.store_id)).kvs
    store_id = found[0].value.decode() if found else store_id
    state = load_state(store_id, (await client.range(keys.state, prefix_end(keys.state))).kvs, keys)
    checkpoint = (await read_checkpoint(client, keys, store_id)).checkpoint
    applied = {key: applied_of(value) async for key, value in _pages(client, keys.changes)}
    rows = []
    async for key, value in _pages(client, keys.ledger):
        row = row_of(value)
        if row is None:
            raise Unusable(f"has a line in its ledger that cannot be read: {key}")
        if row.line.sequence > checkpoint.chain.last:
            rows.append(StoredRow(row, applied[row.line.change_id].fingerprint))
    recordings = (await client.range(keys.recordings, prefix_end(keys.recordings), keys_only=True)).kvs
    oldest_first = sorted(recordings, key=lambda kv: (kv.create_revision, kv.key))
    contents = Contents(
        view=state.view,
        checkpoint=checkpoint,
        rows=tuple(rows),
        sessions={key: read_session(value) async for key, value in _pages(client, keys.sessions)},
        recordings=tuple([await _recording(client, kv.key.decode()) for kv in oldest_first]),
        cursors={key: int(value) async for key, value in _pages(client, keys.cursors)},
        quarantine=tuple([_set_aside(key, value) async for key, value in _pages(client, keys.quarantines)]),
    )
    return contents, state.head_mod


async def _pages(client: EtcdClient, prefix: str) -> AsyncIterator[Put]:
    """What is below a prefix: the rest of each key, and its value."""
    start = prefix
    while True:
        found = await client.range(start, prefix_end(prefix), limit=PAGE)
        for kv in found.kvs:
            yield kv.key.decode().removeprefix(prefix), kv.value
        if not found.more:
            return
        start = found.kvs[-1].key.decode() + "\0"


async def _recording(client: EtcdClient, key: str) -> tuple[str, bytes]:
    (kv,) = (await client.range(key)).kvs
    return key.rpartition("/")[2], kv.value


def _set_aside(key: str, value: bytes) -> SetAside:
    service, _, revision = key.rpartition("/")
    try:
        return SetAside(service, int(revision), unpacked(value))
    except zlib.error:  # it was unreadable as it was stored
        return SetAside(service, int(revision), value.decode(errors="replace"))


def _puts(contents: Contents, keys: Keys) -> Iterator[Put]:
    """Everything but the checkpoint and the store's id."""
    view = contents.view
    for state in view.services.values():
        yield keys.service(state.name), packed(write(state))
    for scope in sorted({freeze.scope for freeze in view.freezes}):
        texts = [write(freeze) for freeze in view.freezes if freeze.scope == scope]
        yield keys.freezes(scope), canonical(texts).encode()
    for exclusion in view.exclusions:
        yield keys.exclusion(exclusion.node), write(exclusion).encode()
    for row, fingerprint in contents.rows:
        yield keys.line(row.line.sequence), row_value(row)
        yield keys.change(row.line.change_id), applied_value(Applied(row.line.revision, fingerprint))
    for service, session in contents.sessions.items():
        yield keys.session(service), session_value(session)
    for rollout_id, recording in contents.recordings:
        yield keys.recordings + rollout_id, recording
    for reader, sequence in contents.cursors.items():
        yield keys.cursor(reader), str(sequence).encode()
    for each in contents.quarantine:
        yield keys.quarantine(each.service, each.revision), packed(each.record)
    yield keys.head, ReplicatedState(view, ChainEnd(*contents.last)).head()


def _batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    """In the same order, as many at once as one transaction takes."""
    batch: list[Put] = []
    size = 0
    for key, value in puts:
        if batch and (len(batch) == BATCH_KEYS or size + len(value) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((key, value))
        size += len(key) + len(value)
    if batch:
        yield batch
