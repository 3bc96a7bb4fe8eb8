"""Changes -> one transaction of etcd, and what its answer says."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import NotWritten
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.keys import Keys, packed
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.records import canonical, digest, write

MAX_REQUEST = 1_400_000
"""Bytes of one transaction. etcd takes 1.5 MiB."""


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
        state = ReplicatedState(commit_rules.after(view, effect, revision), end, state.head_mod)
    return plans, state


def transaction(
    keys: Keys, before: ReplicatedState, after: ReplicatedState, plans: Sequence[Plan], token: int | None
) -> pb.TxnRequest:
    """Applies the plans if the head is still that of `before`, none of the changes was applied, and the term of that
    token is not over. If not, the answer has the head, the leader and the changes. `NotWritten` if it is too large."""
    writes = _Writes()
    for each in plans:
        if each.effect and each.line:
            _write(writes, keys, before, after, each)
    writes.put(keys.head, after.head())
    new = [each.change for each in plans if each.effect]
    compares = [_unchanged(keys.head, before.head_mod), *(_absent(keys.change(change.id)) for change in new)]
    if token is not None:
        leads = pb.Compare(target=pb.Compare.CREATE, key=keys.leader.encode(), create_revision=token)
        compares.append(leads)
    every = [each.change for each in plans]
    request = pb.TxnRequest(compare=compares, success=writes.operations(), failure=_questions(keys, every))
    if request.ByteSize() > MAX_REQUEST:
        raise NotWritten(f"{request.ByteSize()} bytes are more than etcd takes in one transaction ({MAX_REQUEST})")
    return request


def barrier(keys: Keys, state: ReplicatedState, changes: Iterable[Change]) -> pb.TxnRequest:
    """Writes the head as it is, if it is still that of the state. Afterwards no transaction that compares with the
    head before can be applied any longer, wherever it may still be on its way."""
    writes = _Writes()
    writes.put(keys.head, state.head())
    return pb.TxnRequest(
        compare=[_unchanged(keys.head, state.head_mod)],
        success=writes.operations(),
        failure=_questions(keys, changes),
    )


def questions(keys: Keys, changes: Iterable[Change]) -> pb.TxnRequest:
    """Asks for what `standing` reads."""
    return pb.TxnRequest(success=_questions(keys, changes))


class Standing(NamedTuple):
    """What the answer of a transaction that was not applied says."""

    head_mod: int
    epoch: int
    """The token of the current term; 0 if nobody has one."""
    applied: Mapping[str, Applied]
    """Those of its changes that were applied before."""


def standing(response: pb.TxnResponse, changes: Sequence[Change]) -> Standing:
    """What the answer says."""
    head, leader, *answers = (each.response_range.kvs for each in response.responses)
    applied = {each.id: applied_of(kvs[0].value) for each, kvs in zip(changes, answers, strict=True) if kvs}
    return Standing(head[0].mod_revision if head else 0, leader[0].create_revision if leader else 0, applied)


def applied_of(value: bytes) -> Applied:
    """A stored answer to a change."""
    revision, _, fingerprint = value.decode().partition(" ")
    return Applied(int(revision), fingerprint)


class _Writes:
    """Puts and deletions, one for each key: the last one counts."""

    def __init__(self) -> None:
        self._by_key: dict[str, pb.RequestOp] = {}

    def put(self, key: str, value: bytes) -> None:
        put = pb.PutRequest(key=key.encode(), value=value)
        self._by_key[key] = pb.RequestOp(request_put=put)

    def delete(self, key: str) -> None:
        self._by_key[key] = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.encode()))

    def operations(self) -> list[pb.RequestOp]:
        return list(self._by_key.values())


def _write(writes: _Writes, keys: Keys, before: ReplicatedState, after: ReplicatedState, each: Plan) -> None:
    change, effect, line = each.change, each.effect, each.line
    assert effect is not None
    assert line is not None
    name = change.service
    if (change.state or change.delete) and not change.expects and name in before.view.broken:
        # A record that is there all the same cannot be read: it is set aside.
        writes.put(keys.quarantine(name, each.revision), before.view.broken[name].encode())
    if effect.state:
        writes.put(keys.service(name), packed(write(effect.state)))
    elif effect.deleted:
        writes.delete(keys.service(name))
        writes.delete(keys.session(name))
    for scope in effect.scopes:
        freezes = [write(freeze) for freeze in after.view.freezes if freeze.scope == scope]
        if freezes:
            writes.put(keys.freezes(scope), canonical(freezes).encode())
        else:
            writes.delete(keys.freezes(scope))
    if effect.included:
        writes.delete(keys.exclusion(effect.included))
    if effect.excluded:
        writes.put(keys.exclusion(effect.excluded.node), write(effect.excluded).encode())
    row = canonical({"line": line.model_dump(mode="json"), "effect": each.record})
    writes.put(keys.line(line.sequence), packed(row))
    writes.put(keys.change(change.id), f"{each.revision} {change.fingerprint}".encode())


def _questions(keys: Keys, changes: Iterable[Change]) -> list[pb.RequestOp]:
    wanted = [keys.head, keys.leader, *(keys.change(each.id) for each in changes)]
    return [pb.RequestOp(request_range=pb.RangeRequest(key=key.encode())) for key in wanted]


def _unchanged(key: str, mod_revision: int) -> pb.Compare:
    return pb.Compare(target=pb.Compare.MOD, key=key.encode(), mod_revision=mod_revision)


def _absent(key: str) -> pb.Compare:
    return pb.Compare(target=pb.Compare.VERSION, key=key.encode(), version=0)
