"""Three controllers over one etcd, by the very transactions that the store makes: they lag, their writes come late,
answers get lost, leases run out. What must hold is checked at each change that etcd applies."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Freeze, Mode, blocking_freeze
from controller.core.model.ledger_chain import ChainCheck
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import StoreError
from controller.core.model.view import View
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.keys import Keys
from controller.store.etcd.ledger_cache import row_of
from controller.store.etcd.replicated_state import ReplicatedState, apply_events, load_state
from controller.store.etcd.transaction import barrier, leads, plan, put, standing, transaction
from tests.builders import state
from tests.model.memory_etcd import MemoryEtcd

KEYS = Keys("/m")
STORE = "the store"
NAMES = ("scorer", "ranker")
WHICH = st.integers(0, 2)
ANY = st.integers(0, 99)


def _keep(request: pb.TxnRequest) -> pb.TxnRequest:
    return request


@dataclass(frozen=True)
class Protocol:
    """How controllers write: as they do, unless a mutant takes the place of one part."""

    send: Callable[[pb.TxnRequest], pb.TxnRequest] = _keep
    """What becomes of a transaction on its way."""
    settles: bool = True
    """Whether a transaction whose answer was lost is made void before anything is claimed of it."""
    notifies: Callable[["Controller"], bool] = lambda controller: controller.token > 0
    cursor: Callable[[pb.TxnRequest], pb.TxnRequest] = _keep


@dataclass
class Controller:
    """What one knows: the state as its watch has brought it, and whether it believes to lead."""

    name: str
    state: ReplicatedState
    seen: int
    token: int = 0
    sent_to: int = 0
    """The last line of which it has sent a notification; it forgets that with its term."""


@dataclass
class Sent:
    """A transaction on its way."""

    sender: Controller
    request: pb.TxnRequest
    change: Change
    before: ReplicatedState
    token: int | None
    settled: bool = False
    """Its sender knows what became of it, and waits no longer."""


@dataclass
class Record:
    """What became true, in order."""

    views: dict[int, View] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """Ids of changes that were said not to be applied."""
    chain: ChainCheck = field(default_factory=ChainCheck)
    terms: list[int] = field(default_factory=list)
    notified: dict[int, list[int]] = field(default_factory=dict)
    """Sequence of a line -> the tokens of those who sent it."""
    cursor: int = 0


class EtcdMachine(RuleBasedStateMachine):
    """Every rule, and what must hold."""

    protocol = Protocol()

    @initialize()
    def begin(self) -> None:
        self.etcd = MemoryEtcd()
        self.etcd.txn(pb.TxnRequest(success=[put(KEYS.store_id, STORE.encode())]))
        self.record = Record()
        self.ids = itertools.count(1)
        empty = load_state(STORE, [], KEYS)
        self.controllers = [Controller(f"c{n}", empty, self.etcd.revision) for n in range(3)]
        self.under_way: list[Sent] = []
        self.cursors: list[pb.TxnRequest] = []
        self.record.views[0] = empty.view
        for name in NAMES:
            self._write(self.controllers[0], self._change(name, None, state(name)), None)
            self._arrive(self.under_way.pop())
            self.follow(0, True)
        self.campaign(0)

    # What controllers know.

    @rule(which=WHICH, all_of_it=st.booleans())
    def follow(self, which: int, all_of_it: bool) -> None:
        """A watch brings what happened next, or all that did: a replica may lag for as long as it likes."""
        controller = self.controllers[which]
        while controller.seen < self.etcd.revision:
            controller.seen += 1
            events = [
                each
                for each in self.etcd.history.get(controller.seen, [])
                if each.kv.key.startswith(KEYS.state.encode())
            ]
            if events and controller.seen > controller.state.head_mod:
                controller.state = apply_events(controller.state, events, KEYS)
            if not all_of_it:
                return

    @rule(which=WHICH)
    def campaign(self, which: int) -> None:
        """Whoever sees no leader begins a term."""
        controller = self.controllers[which]
        response = self.etcd.txn(pb.TxnRequest(compare=[leads(KEYS, 0)], success=[put(KEYS.leader, b"{}")]))
        if response.succeeded:
            controller.token, controller.sent_to = response.header.revision, 0
            self.record.terms.append(controller.token)

    @precondition(lambda self: KEYS.leader.encode() in self.etcd.kvs)
    @rule()
    def run_out(self) -> None:
        """The leader's lease ends, and it does not know: paused, cut off, slow."""
        self.etcd.delete(KEYS.leader)

    @rule(which=WHICH)
    def end_term(self, which: int) -> None:
        """A controller knows that its term is over; it restarts, or stops deciding by its own clock."""
        self.controllers[which].token = self.controllers[which].sent_to = 0

    # What they write.

    @precondition(lambda self: any(each.token for each in self.controllers))
    @rule(which=WHICH, name=st.sampled_from(NAMES), late=st.booleans())
    def advance(self, which: int, name: str, late: bool) -> None:
        """Automation decides on what it knows, in each controller that believes to lead."""
        leaders = sorted((each for each in self.controllers if each.token), key=lambda each: -each.token)
        controller = leaders[which % len(leaders)]
        self._write(controller, self._step(controller, name), controller.token, late=late)

    @rule(which=WHICH, name=st.sampled_from(NAMES), late=st.booleans())
    def roll_back(self, which: int, name: str, late: bool) -> None:
        """An operator's command through any controller."""
        controller = self.controllers[which]
        self._write(controller, self._change(name, controller, state(name, weight=0), Act.ROLLBACK), None, late=late)

    @rule(which=WHICH, scope=st.sampled_from([ALL, *NAMES]), late=st.booleans())
    def freeze(self, which: int, scope: str, late: bool) -> None:
        """A freeze through any controller."""
        frozen = Freeze(scope=scope, mode=Mode.FREEZE, reason=f"{next(self.ids)}", who="grace", since=1.0)
        self._write(self.controllers[which], replace(self._bare("freeze"), freeze=(frozen,)), None, late=late)

    @precondition(lambda self: any(each.state.view.freezes for each in self.controllers))
    @rule(which=WHICH, late=st.booleans())
    def lift(self, which: int, late: bool) -> None:
        """Every freeze that this controller knows of is lifted."""
        controller = self.controllers[which]
        if controller.state.view.freezes:
            self._write(controller, replace(self._bare("lift"), lift=controller.state.view.freezes), None, late=late)

    # What becomes of it.

    @precondition(lambda self: self.under_way)
    @rule(number=ANY)
    def arrive(self, number: int) -> None:
        """A transaction arrives, however late, and so does its answer."""
        self._arrive(self.under_way.pop(number % len(self.under_way)))

    @precondition(lambda self: self.under_way)
    @rule(number=ANY, again=st.booleans())
    def lose_the_answer(self, number: int, again: bool) -> None:
        """It arrives, the answer does not: the sender finds out what became of it."""
        sent = self.under_way.pop(number % len(self.under_way))
        self._arrive(sent)
        self._settle(sent, again=again)

    @precondition(lambda self: self.under_way)
    @rule(number=ANY, again=st.booleans())
    def time_out(self, number: int, again: bool) -> None:
        """It is still on its way when its sender gives up waiting, and finds out what became of it."""
        self._settle(self.under_way[number % len(self.under_way)], again=again)

    @rule(which=WHICH, saved=st.sampled_from(["at once", "late", "never"]))
    def notify(self, which: int, saved: str) -> None:
        """Whoever leads sends the next line to a receiver; it may die before it has saved how far it came."""
        controller = self.controllers[which]
        if not self.protocol.notifies(controller):
            return
        kept = self.etcd.kvs.get(KEYS.cursor("pager").encode())
        begin = max(controller.sent_to, int(kept.value) if kept else 0)
        lines = self.etcd.range(KEYS.line(begin + 1), f"{KEYS.prefix}/ledger0")[:1]
        for kv in lines:
            self._notified(int(kv.key.decode().rpartition("/")[2]), controller)
        if not lines or saved == "never":
            return
        compares = [leads(KEYS, controller.token)]
        cursor = put(KEYS.cursor("pager"), str(controller.sent_to).encode())
        request = self.protocol.cursor(pb.TxnRequest(compare=compares, success=[cursor]))
        if saved == "late":
            self.cursors.append(request)
        elif not self.etcd.txn(request).succeeded:
            controller.token = controller.sent_to = 0

    @precondition(lambda self: self.cursors)
    @rule(number=ANY)
    def arrive_cursor(self, number: int) -> None:
        """How far a notification came is saved late."""
        self.etcd.txn(self.cursors.pop(number % len(self.cursors)))

    # Moments that are known to matter, and too rare by chance.

    @rule(which=WHICH, other=WHICH, name=st.sampled_from(NAMES))
    def succeed_while_writing(self, which: int, other: int, name: str) -> None:
        """A leader's write is under way when its lease ends and another one begins a term."""
        self._lead(which)
        self.advance(0, name, late=True)
        self._lead(other)
        if self.under_way:
            self.arrive(len(self.under_way) - 1)

    @rule(which=WHICH, after=st.integers(1, 2))
    def succeed_while_notifying(self, which: int, after: int) -> None:
        """A leader has sent notifications and not saved that; its successor goes on, and then that arrives."""
        other = (which + after) % 3
        self._lead(which)
        for name in NAMES:
            self.freeze(which, name, late=False)
        self.notify(which, "late")
        self._lead(other)
        self.notify(other, "at once")
        self.notify(other, "at once")
        if self.cursors:
            self.arrive_cursor(len(self.cursors) - 1)

    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def arrive_after_giving_up(self, which: int, name: str) -> None:
        """A write arrives after its sender gave up waiting."""
        self.follow(which, True)
        self.roll_back(which, name, late=True)
        if self.under_way:
            self.time_out(len(self.under_way) - 1, again=False)
            self.arrive(len(self.under_way) - 1)

    # What must hold.

    @invariant()
    def replicas_agree(self) -> None:
        """At one revision every controller serves the same, whichever way it came there."""
        for controller in getattr(self, "controllers", ()):
            view = controller.state.view
            same = view == self.record.views[view.revision]  # pytest would compare the values for seconds
            assert same, f"{controller.name} serves something else"

    @invariant()
    def no_cursor_goes_back(self) -> None:
        """What was sent is not sent again, once that was saved."""
        if hasattr(self, "etcd") and (kept := self.etcd.kvs.get(KEYS.cursor("pager").encode())):
            assert int(kept.value) >= self.record.cursor, "a cursor went back"
            self.record.cursor = int(kept.value)

    def _notified(self, sequence: int, controller: Controller) -> None:
        by = self.record.notified.setdefault(sequence, [])
        assert controller.token, f"line {sequence} was sent by one who never led"
        assert controller.token not in by, f"line {sequence} was sent twice in one term"
        by.append(controller.token)
        controller.sent_to = sequence

    def _check_applied(self, sent: Sent, before: View, leader: int) -> None:
        """What etcd has just applied was decided on what stood, by whoever leads, under no freeze, and once."""
        change, view = sent.change, load_state(STORE, self.etcd.range(KEYS.state, KEYS.state[:-1] + "0"), KEYS).view
        assert change.id not in self.record.applied, "a change was applied twice"
        assert change.id not in self.record.denied, "a change was applied after it was said not to be"
        assert sent.token is None or sent.token == leader, "a write of a term that is over was applied"
        if change.expects is not None:
            present = before.services[change.service].revision if change.service in before.services else 0
            assert change.expects == present, "a change was decided on another state"
        blocking = blocking_freeze(before.freezes, change.service, change.act)
        assert blocking is None, f"{change.entry.kind} under the freeze of {blocking and blocking.scope}"
        known = set(change.lift) <= set(before.freezes)
        assert known, "another freeze was lifted"
        assert view.revision == before.revision + 1, "a revision was skipped or used twice"
        self.record.views[view.revision] = view
        self.record.applied[change.id] = view.revision
        self._check_line(view.revision)

    def _check_line(self, revision: int) -> None:
        lines = self.etcd.range(f"{KEYS.prefix}/ledger/", f"{KEYS.prefix}/ledger0")
        row = row_of(lines[-1].value)
        assert row is not None
        assert not (fault := self.record.chain.fault(row.line)), fault
        assert (len(lines), row.line.revision) == (self.record.chain.lines + 1, revision), "ledger and changes differ"
        self.record.chain = self.record.chain.then(row.line)

    # How it is done.

    def _lead(self, which: int) -> None:
        """That controller leads and knows everything; whoever led before does not know that its term is over."""
        if KEYS.leader.encode() in self.etcd.kvs:
            self.run_out()
        self.campaign(which)
        self.follow(which, True)

    def _step(self, controller: Controller, name: str) -> Change:
        present = controller.state.view.services.get(name)
        weight = present.rollout.weight + 100 if present and present.rollout else 100
        return self._change(name, controller, state(name, weight=weight), Act.ADVANCE)

    def _bare(self, kind: str) -> Change:
        entry = Entry(kind=kind, who="ada", why="because")
        return Change(f"id-{next(self.ids)}", kind, Act.RECORD, entry)

    def _change(self, name: str, controller: Controller | None, to: object, act: Act = Act.RECORD) -> Change:
        present = controller.state.view.services.get(name) if controller else None
        expects = present.revision if present else 0
        return replace(self._bare("written"), service=name, act=act, expects=expects, state=to)

    def _write(self, controller: Controller, change: Change, token: int | None, *, late: bool = True) -> None:
        """It is decided on what this controller knows, and sent; unless it is `late` it arrives at once."""
        before = controller.state
        try:
            plans, after = plan(before, [change], 1.0, {})
        except StoreError:
            return
        request = self.protocol.send(transaction(KEYS, before, after, plans, token))
        sent = Sent(controller, request, change, before, token)
        if late:
            self.under_way.append(sent)
        elif self._arrive(sent):
            self.follow(self.controllers.index(controller), True)

    def _arrive(self, sent: Sent) -> bool:
        leader = self.etcd.kvs.get(KEYS.leader.encode())
        before = self.record.views[max(self.record.views)]
        done = bool(self.etcd.txn(sent.request).succeeded)
        if done:
            self._check_applied(sent, before, leader.create_revision if leader else 0)
        return done

    def _settle(self, sent: Sent, *, again: bool) -> None:
        """As `Commits` does: the head is written as it is, after which the transaction is void if it was not applied.
        Then the sender claims what it found, and perhaps sends the change again on what stands now."""
        changes: Sequence[Change] = [sent.change]
        if sent.settled:
            return
        sent.settled = True
        questions = barrier(KEYS, sent.before, changes)
        if not self.protocol.settles:
            questions = pb.TxnRequest(success=questions.failure)
        response = self.etcd.txn(questions)
        if response.succeeded and self.protocol.settles:
            response = self.etcd.txn(pb.TxnRequest(success=questions.failure))
        found = standing(response, changes)
        known = sent.change.id in self.record.applied
        assert (sent.change.id in found.applied) == known, "what became of a change was not found out"
        if known or not again:
            if not known:
                self.record.denied.add(sent.change.id)
            return
        self.follow(self.controllers.index(sent.sender), True)
        self._write(sent.sender, sent.change, sent.token)
