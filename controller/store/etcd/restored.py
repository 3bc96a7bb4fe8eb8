"""The store in an etcd that was restored from a backup: taken as it is, frozen, so that it moves nothing by itself."""

import uuid
from typing import NamedTuple

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import Unusable
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.follower import read_state
from controller.store.etcd.keys import Keys, as_text
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.transaction import absent, plan, put, transaction

RESTORED = "restored"
"""The reason of the freeze."""


class Taken(NamedTuple):
    """What was taken: so many services and freezes, up to that line of the ledger; and the revision at which it goes
    on."""

    services: int
    freezes: int
    sequence: int
    revision: int


async def take(client: EtcdClient, keys: Keys, *, who: str, reason: str, at: float) -> Taken:
    """Take what etcd holds as the store, whatever was served before, frozen, with a line in its ledger that says so.

    It gets an id of its own, so that proxies are served it at once, whatever they have seen before. `at` is Unix
    seconds. `Unusable`: there is no store, or a controller decides in it. `Lost`: perhaps it was taken.
    """
    store, leader = await client.snapshot([keys.store_id, keys.leader])
    if store is None:
        raise Unusable(f"etcd has no store below {keys.prefix}")
    if leader:
        raise Unusable(
            f"a controller decides in the store below {keys.prefix}: it is in use. Stop all of them; if this term is "
            "one that the backup has, it runs out within the ttl of [etcd]"
        )
    store_id = as_text(store.value)
    before = (await read_state(client, keys, store_id)).state
    plans, after = plan(before, [_restoring(before, who, reason, at)], at, {})
    request = transaction(keys, before, after, plans, None)
    request.compare.append(absent(keys.leader))
    request.success.extend([put(keys.store_id, str(uuid.uuid4()).encode()), put(keys.former(store_id), b"")])
    if not (await client.txn(request)).succeeded:
        raise Unusable("a controller has used the store meanwhile: stop it first")
    view = before.view
    return Taken(len(view.services), len(view.freezes), before.end.sequence, after.view.revision)


def _restoring(state: ReplicatedState, who: str, reason: str, at: float) -> Change:
    entry = Entry(
        kind=LedgerKind.STORE_RESTORED,
        services=(ALL,),
        who=who,
        why=reason or "etcd was restored",
        details={"store": state.view.store_id, "through": state.end.sequence, "hash": state.end.hash},
    )
    freeze = Freeze(scope=ALL, reason=RESTORED, who=who, since=at)
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, freeze=(freeze,))
