"""What a controller begins with: what etcd holds or, if that cannot be relied on, what was served here last."""

import contextlib
import uuid
from typing import NamedTuple

from controller.core.base.text import is_printable
from controller.core.model.store_errors import StoreError, StoreLost, Unusable
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd import continuity
from controller.store.etcd.client import EtcdClient, Lost
from controller.store.etcd.follower import read_state
from controller.store.etcd.keys import Damaged, Keys, as_text
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.transaction import absent, put


class Opened(NamedTuple):
    """The state to begin with, and why it is not that of etcd, if it is not."""

    state: ReplicatedState
    lost: StoreError | None = None


async def open_state(client: EtcdClient, keys: Keys, kept: ReplicatedState | None) -> Opened:
    """The state to begin with; `kept` is what was served here last, None if nothing was or it is not to count.

    The store is made if it is not there and nothing was kept. `Unusable` if there is neither.
    """
    try:
        if kept and not await _was_replaced(client, keys, kept.view.store_id):
            await continuity.check(client, keys, kept)
        found = await read_state(client, keys, await _store_id(client, keys))
    except Unusable:
        raise
    except StoreError as error:
        if kept is None:
            raise Unusable(f"etcd cannot be used, and nothing was served here before: {error}") from error
        return Opened(kept, error)
    return Opened(found.state)


async def _was_replaced(client: EtcdClient, keys: Keys, store_id: str) -> bool:
    """Whether the store of that id was given another one, by someone who knows of it."""
    return bool((await client.range(keys.former(store_id))).kvs)


async def _store_id(client: EtcdClient, keys: Keys) -> str:
    """The store's id, which is made if there is none. `Lost` without an answer; `Unusable` while a migration into it
    is not finished."""
    found = await client.range(keys.store_id)
    if not found.kvs:
        compares = [absent(keys.store_id), absent(keys.migration)]
        make = put(keys.store_id, str(uuid.uuid4()).encode())
        with contextlib.suppress(Lost):  # the next answer tells whether it was made
            await client.txn(pb.TxnRequest(compare=compares, success=[make]))
        found = await client.range(keys.store_id)
    if not found.kvs:
        if (await client.range(keys.migration)).kvs:
            raise Unusable(
                f"a migration into the store below {keys.prefix} was begun and not finished: run `haldane migrate` "
                "again, or choose another prefix"
            )
        raise StoreLost("etcd did not take the store's id")
    store_id = as_text(found.kvs[0].value)
    if not is_printable(store_id):
        raise Damaged("a store's id", ascii(store_id))
    return store_id
