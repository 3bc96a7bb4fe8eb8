"""Whether what etcd holds goes on from a state that was seen before: it does not if etcd was restored, or emptied."""

from typing import NamedTuple

from controller.core.model.ledger_line import ChainEnd
from controller.core.model.store_errors import NotWritten
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.keys import CheckpointRef, Keys, as_text
from controller.store.etcd.replicated_state import ReplicatedState, read_head
from controller.store.etcd.stored_row import line_of


class Diverged(NotWritten):
    """etcd does not hold what follows from the state that is served. Nothing of it is served, nothing is stored."""


class Held(NamedTuple):
    """What etcd holds."""

    store_id: str
    """Empty if there is no store."""
    head_mod: int
    head_value: bytes

    @property
    def end(self) -> ChainEnd:
        """The end of its ledger. `Damaged` if the head cannot be read."""
        return read_head(self.head_value).end if self.head_value else ChainEnd()


async def check(client: EtcdClient, keys: Keys, state: ReplicatedState) -> Held:
    """What etcd holds now. `Diverged` unless it is that state or one that follows from it; `Damaged` if
    it cannot be read. `Lost` without an answer."""
    store, head = await client.snapshot([keys.store_id, keys.head])
    held = Held(as_text(store.value) if store else "", head.mod_revision if head else 0, head.value if head else b"")
    if (held.store_id, held.head_mod, held.head_value) == (state.view.store_id, state.head_mod, state.head_value):
        return held
    if why := contradiction(state, held):
        raise Diverged(why)
    if state.end.sequence and held.end.sequence > state.end.sequence:
        checkpoint, line = await client.snapshot([keys.checkpoint, keys.line(state.end.sequence)])
        trimmed = CheckpointRef.read(checkpoint.value).sequence if checkpoint else 0
        kept = line_of(line.value) if line else None
        lacks = line is None and trimmed < state.end.sequence
        if lacks or (kept and kept.hash != state.end.hash):
            raise Diverged(_another_history(state))
    return held


def contradiction(state: ReplicatedState, held: Held) -> str:
    """Why that cannot follow from the state, as far as its end tells; empty if it can."""
    if held.store_id != state.view.store_id:
        found = f"another store ({ascii(held.store_id)[1:-1]})" if held.store_id else "no store"
        return (
            f"etcd holds {found}, and not the one that is served ({state.view.store_id}). If that is right, "
            "restart the controller, with --init if it says so again"
        )
    if held.head_mod < state.head_mod or held.end.sequence < state.end.sequence:
        return (
            f"etcd holds an older state (line {held.end.sequence} of the ledger) than the one that is served "
            f"(line {state.end.sequence}): it was restored. {_WAYS_ON}"
        )
    if held.end.sequence == state.end.sequence and held.end.hash != state.end.hash:
        return _another_history(state)
    return ""


def _another_history(state: ReplicatedState) -> str:
    return (
        f"etcd holds another history than the one that is served (from line {state.end.sequence} of the ledger, or "
        f"before it): it was restored, and written to since. {_WAYS_ON}"
    )


_WAYS_ON = "Give it a newer backup, or take this state, frozen, by haldane restore"
