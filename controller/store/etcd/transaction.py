"""Changes -> one transaction of etcd, and what its answer says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import TooLarge
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.keys import Damaged, Keys, as_bytes, as_text, packed
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.stored_row import row_value
from controller.store.ledger_replay import LedgerRow
from controller.store.records import canonical, digest, write

MAX_REQUEST = 1_400_000
"""Bytes of one transaction. etcd takes 1.5 MiB."""
MAX_OPERATIONS = 128
"""What etcd takes in one transaction (`--max-txn-ops`): comparisons, and operations where they are met or not. What is
beyond is done by transactions inside it, whose operations count together with those of the one around them."""
MAX_CHANGES = 100
"""Changes that are applied together: each has a comparison, so that it is applied once."""


class Plan(NamedTuple):
    """What a change does to the state before it."""

    change: Change
    revision: int
    effect: Effect | None
    """None for a change that was applied before, which does nothing."""
    line: LedgerLine | None = None
    record: str = ""
    """The effect as it is stored."""


def plan(
    state: ReplicatedState, changes: Iterable[Change], at: float, applied: Mapping[str, Applied]
) -> tuple[list[Plan], ReplicatedState]:
    """What these changes do, in order, at that wall-clock time, and the state after them.

    `applied` are those of them that were applied before. Raises what `commit_rules` does for the first that is refused.
    """
    plans: list[Plan] = []
    known = dict(applied)
    for change in changes:
        if earlier := known.get(change.id):
            plans.append(Plan(change, commit_rules.check_repeated(change, earlier), None))
            continue
        view = state.view
        present = view.services.get(change.service)
        commit_rules.check_change(change, present.revision if present else 0, view.freezes)
        revision = view.revision + 1
        effect = commit_rules.effect_of(change, revision, view.freezes)
        record = write(effect)
        line = LedgerLine.after(
            state.end, revision=revision, at=at, change_id=change.id, entry=change.entry, effect=digest(record)
        )
        plans.append(Plan(change, revision, effect, line, record))
        known[change.id] = Applied(revision, change.fingerprint)
        end = state.end._replace(sequence=line.sequence, hash=line.hash)
        later = commit_rules.after(view, effect, revision)
        unreadable = {name: record for name, record in state.unreadable.items() if name in later.broken}
        state = replace(state, view=later, end=end, schema=SCHEMA, unreadable=unreadable)
    return plans, state


class Prepared(NamedTuple):
    """Changes, ready to be sent."""

    revisions: list[int]
    after: ReplicatedState
    """The state once they are applied."""
    request: pb.TxnRequest | None
    """None if all of them were applied before."""


def prepare(
    keys: Keys,
    before: ReplicatedState,
    changes: Sequence[Change],
    at: float,
    *,
    token: int | None,
    applied: Mapping[str, Applied],
) -> Prepared:
    """As `plan` and `transaction` say, and raising what they do."""
    plans, after = plan(before, changes, at, applied)
    new = any(each.effect for each in plans)
    request = transaction(keys, before, after, plans, token) if new else None
    return Prepared([each.revision for each in plans], after, request)


def transaction(
    keys: Keys, before: ReplicatedState, after: ReplicatedState, plans: Sequence[Plan], token: int | None
) -> pb.TxnRequest:
    """Applies the plans if store and head are still those of `before`, none of the changes was applied, and the term of
    that token is not over. If not, the answer has the head, the leader and the changes. `TooLarge` beyond a limit."""
    writes = _Writes()
    for each in plans:
        if each.effect and each.line:
            _write(writes, keys, before, each)
    writes.put(keys.head, after.head())
    new = [each.change for each in plans if each.effect]
    if len(plans) > MAX_CHANGES:
        raise TooLarge(f"{len(plans)} changes are more than etcd takes in one transaction ({MAX_CHANGES})")
    compares = [*_is_still(keys, before), *(absent(keys.change(change.id)) for change in new)]
    if token is not None:
        compares.append(leads(keys, token))
    failure = _questions(keys, [each.change for each in plans])
    success = grouped(writes.operations(), beside=max(len(compares), len(failure)))
    request = pb.TxnRequest(compare=compares, success=success, failure=failure)
    if request.ByteSize() > MAX_REQUEST:
        raise TooLarge(f"{request.ByteSize()} bytes are more than etcd takes in one transaction ({MAX_REQUEST})")
    return request


def grouped(operations: Sequence[pb.RequestOp], beside: int) -> list[pb.RequestOp]:
    """The operations, in transactions inside the one that has `beside` comparisons if they are too many for it.
    `TooLarge` if they are too many for that too."""
    if len(operations) <= MAX_OPERATIONS:
        return list(operations)
    for groups in range(2, MAX_OPERATIONS):
        size = MAX_OPERATIONS - max(groups, beside)
        if groups * size >= len(operations):
            parts = (operations[start : start + size] for start in range(0, len(operations), size))
            return [pb.RequestOp(request_txn=pb.TxnRequest(success=part)) for part in parts]
    raise TooLarge(f"{len(operations)} records are more than etcd takes in one transaction")


def barrier(keys: Keys, state: ReplicatedState, changes: Iterable[Change]) -> pb.TxnRequest:
    """Writes the head as it is, if it is still that of the state. Afterwards no transaction that compares with the
    head before can be applied any longer, wherever it may still be on its way."""
    writes = _Writes()
    writes.put(keys.head, state.head())
    return pb.TxnRequest(
        compare=_is_still(keys, state),
        success=writes.operations(),
        failure=_questions(keys, changes),
    )


def questions(keys: Keys, changes: Iterable[Change]) -> pb.TxnRequest:
    """Asks for what `standing` reads."""
    return pb.TxnRequest(success=_questions(keys, changes))


class Standing(NamedTuple):
    """What the answer of a transaction that was not applied says."""

    store_id: str
    head_mod: int
    head_value: bytes
    epoch: int
    """The token of the current term; 0 if nobody has one."""
    applied: Mapping[str, Applied]
    """Those of its changes that were applied before."""

    def follows(self, before: ReplicatedState) -> bool:
        """Whether the head was written since: else another store or an older state stands there."""
        return self.store_id == before.view.store_id and self.head_mod > before.head_mod


def standing(response: pb.TxnResponse, changes: Sequence[Change]) -> Standing:
    """What the answer says. `Damaged` if it cannot be read."""
    store, head, leader, *answers = (each.response_range.kvs for each in response.responses)
    applied = {each.id: applied_of(kvs[0].value) for each, kvs in zip(changes, answers, strict=True) if kvs}
    return Standing(
        as_text(store[0].value) if store else "",
        head[0].mod_revision if head else 0,
        head[0].value if head else b"",
        leader[0].create_revision if leader else 0,
        applied,
    )


def applied_of(value: bytes) -> Applied:
    """A stored answer to a change. `Damaged` if it cannot be read."""
    revision, _, fingerprint = as_text(value).partition(" ")
    try:
        return Applied(int(revision), fingerprint)
    except ValueError as error:
        raise Damaged("the answer to a change", error) from error


class _Writes:
    """Puts and deletions, one for each key: the last one counts."""

    def __init__(self) -> None:
        self._by_key: dict[str, pb.RequestOp] = {}

    def put(self, key: str, value: bytes) -> None:
        self._by_key[key] = put(key, value)

    def delete(self, key: str) -> None:
        self._by_key[key] = deletion(key)

    def operations(self) -> list[pb.RequestOp]:
        return list(self._by_key.values())


def _write(writes: _Writes, keys: Keys, before: ReplicatedState, each: Plan) -> None:
    change, effect, line = each.change, each.effect, each.line
    assert effect is not None
    assert line is not None
    name = change.service
    if (change.state or change.delete) and not change.expects and name in before.unreadable:
        # A record that is there all the same cannot be read: it is set aside.
        writes.put(keys.quarantine(name, each.revision), before.unreadable[name])
    if effect.state:
        writes.put(keys.service(name), packed(write(effect.state)))
    elif effect.deleted:
        writes.delete(keys.service(name))
        writes.delete(keys.session(name))
    standing: dict[str, list[str]] = {scope: [] for scope in effect.scopes}
    for freeze in effect.freezes:
        standing[freeze.scope].append(write(freeze))
    for scope, freezes in standing.items():
        if freezes:
            writes.put(keys.freezes(scope), canonical(freezes).encode())
        else:
            writes.delete(keys.freezes(scope))
    if effect.included:
        writes.delete(keys.exclusion(effect.included))
    if effect.excluded:
        writes.put(keys.exclusion(effect.excluded.node), write(effect.excluded).encode())
    writes.put(keys.line(line.sequence), row_value(LedgerRow(line, each.record)))
    writes.put(keys.change(change.id), applied_value(Applied(each.revision, change.fingerprint)))


def _questions(keys: Keys, changes: Iterable[Change]) -> list[pb.RequestOp]:
    wanted = [keys.store_id, keys.head, keys.leader, *(keys.change(each.id) for each in changes)]
    return [pb.RequestOp(request_range=pb.RangeRequest(key=key.encode())) for key in wanted]


def _is_still(keys: Keys, state: ReplicatedState) -> list[pb.Compare]:
    """Store and head are the very ones that are known. When the head was written does not suffice: etcd counts again
    from the number at which a backup of it was made."""
    compares = [
        unchanged(keys.head, state.head_mod),
        serves(keys, state.view.store_id),
    ]
    if state.head_value:
        compares.append(pb.Compare(target=pb.Compare.VALUE, key=keys.head.encode(), value=state.head_value))
    return compares


def unchanged(key: str, mod_revision: int) -> pb.Compare:
    """The key was written last at that revision; with 0: never."""
    return pb.Compare(target=pb.Compare.MOD, key=key.encode(), mod_revision=mod_revision)


def serves(keys: Keys, store_id: str) -> pb.Compare:
    """It is the store of that id."""
    return pb.Compare(target=pb.Compare.VALUE, key=keys.store_id.encode(), value=store_id.encode())


def leads(keys: Keys, token: int) -> pb.Compare:
    """The term of that token is not over; with 0: nobody decides."""
    return pb.Compare(target=pb.Compare.CREATE, key=keys.leader.encode(), create_revision=token)


def absent(key: str) -> pb.Compare:
    """There is no such key."""
    return pb.Compare(target=pb.Compare.VERSION, key=key.encode(), version=0)


def applied_value(applied: Applied) -> bytes:
    """An answer to a change as it is stored."""
    return f"{applied.revision} {applied.fingerprint}".encode()


def put(key: str, value: bytes, lease: int = 0) -> pb.RequestOp:
    """Stores a value, which ends with the lease if one is named."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value, lease=lease))


def deletion(key: str, end: str = "") -> pb.RequestOp:
    """Deletes a key, or all before `end`."""
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=as_bytes(key), range_end=as_bytes(end)))
