"""The model: operators, controllers, proxies and a clock act in any order, under a few faults at a time.

Each run has its own few faults (a swarm): with all of them always on, a kill comes early, ends nearly every run, and
half of the bugs hide behind it. Known races are rules of their own. What must hold is checked after every step.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.core.commands import Command, Verb
from controller.core.errors import Code, Refusal
from controller.core.guard import ALL, Act, Mode
from controller.core.rollout import Phase
from controller.core.verdict import Outcome, Reason, Verdict
from controller.core.view import Change, Entry
from controller.operations import Operations
from controller.ports import Conflict, Frozen, ReusedId
from controller.store.memory import MemoryStore
from controller.xds.snapshot import RDS
from tests.model.replica import Parts, Replica, Write
from tests.model.truth import Truth
from tests.model.values import NAMES, POLICY, ToldClock, declared
from tests.model.witness import BACK, Witness, done
from tests.xds.proxies import BLAME, REFUSE, Link, Proxy, settle

TROUBLES = (
    *("restart", "sleep", "cut", "deaf", "late", "lag", "slow", "move", "refuse", "retry", "blind", "jump"),
    *("harm", "freeze", "act", "endpoints"),
)
"""What a run may have beside time, verdicts and starts: faults, and what ends rollouts or stops them."""

OUTCOMES = st.sampled_from([Outcome.PASS, Outcome.PASS, Outcome.UNKNOWN])
ACTS = st.sampled_from([Verb.START, Verb.PAUSE, Verb.RESUME, Verb.APPROVE, Verb.APPROVE, Verb.PROMOTE, Verb.ROLLBACK])
SERVICES = st.sampled_from(NAMES)
CANARIES = st.sampled_from(["v2", "v3"])
SCOPES = st.sampled_from([*NAMES, ALL])
WHICH = st.integers(0, 2)


def under(*troubles: str) -> Any:
    """A rule of the runs that have one of these."""
    return precondition(lambda self: self.troubles & set(troubles))


class Model(RuleBasedStateMachine):
    """Three controllers, two proxies, two services, one store."""

    parts = Parts()
    always: tuple[str, ...] = ()
    """Faults that every run has."""
    ends_well = True
    """Whether a run ends with the faults' end."""

    @initialize(troubles=st.sets(st.sampled_from(TROUBLES), max_size=4), good=st.booleans())
    def begin(self, troubles: set[str], good: bool) -> None:
        self.troubles, self.good = troubles | set(self.always), good
        self.clock = ToldClock()
        self.witness = Witness(self.parts.store(self.clock))
        self.archive = MemoryStore(clock=self.clock)
        self.operations = Operations(self.witness, self.clock)
        for name in NAMES:
            done(self.operations.apply(declared(name), who="ada", reason="new"))
        self.truth = Truth(self.witness)
        self.lives = 0
        self.replicas = [self._replica(n) for n in range(3)]
        self.late: list[tuple[Replica, Write]] = []
        self.verdicts = dict.fromkeys(NAMES, Verdict(Outcome.UNKNOWN, ()))
        self.proxies = {f"proxy-{n}": Proxy(delta=bool(n)) for n in range(2)}
        self.at = dict.fromkeys(self.proxies, 0)
        self.wall = 0.0
        self.replicas[0].token = self.witness.campaign("first")
        for name in self.proxies:
            self._connect(name, 0)
        self.refusing: dict[str, str] = {}
        for name in NAMES:
            self.start(name, "v2")
        self._settle()

    def _replica(self, n: int) -> Replica:
        self.lives += 1
        name = f"replica-{n}.{self.lives}"
        return Replica(name, self.parts, self.witness, self.archive, self.clock)

    # Time, and what automation makes of it.

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]), said=st.tuples(OUTCOMES, OUTCOMES), late=st.booleans())
    def pass_time(self, seconds: float, said: tuple[Outcome, Outcome], late: bool) -> None:
        """Reports arrive for a while; then every controller that believes to lead looks."""
        self.verdicts = {name: _verdict(outcome) for name, outcome in zip(NAMES, said, strict=True)}
        self._pass(seconds, late=late and "late" in self.troubles)

    @under("blind")
    @rule(seconds=st.sampled_from([5.0, 10.0]))
    def pass_time_blind(self, seconds: float) -> None:
        """No reports for a while."""
        blind = Verdict(Outcome.UNKNOWN, (Reason("blind", "no reports"),), blind=True)
        self.verdicts = dict.fromkeys(NAMES, blind)
        self._pass(seconds)

    @rule(name=SERVICES)
    def climb(self, name: str) -> None:
        """A healthy canary, long enough for the next step."""
        self.verdicts[name] = _verdict(Outcome.PASS)
        self._pass(POLICY.dwell)
        self._pass(1.0)

    def _pass(self, seconds: float, *, late: bool = False) -> None:
        self.clock.now += seconds
        blind = all(v.blind for v in self.verdicts.values()) and not any(r.asleep for r in self.replicas)
        self.truth.passed(0.0 if blind else seconds)
        for replica in self.replicas:
            for write in self._looks(replica):
                replica.save(write.change.service)
                if late:
                    self.late.append((replica, write))
                else:
                    replica.deliver(write)

    def _looks(self, replica: Replica) -> Iterator[Write]:
        for name in NAMES if replica.token and not replica.asleep else ():
            verdict = self.verdicts[name]
            write = replica.look(name, verdict, lambda n=name: self.truth.soaked(n))
            if write:
                yield write

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 99))
    def arrive_late(self, which: int) -> None:
        """A write that was under way for a while arrives."""
        replica, write = self.late.pop(which % len(self.late))
        replica.deliver(write)

    # Operators.

    @rule(name=SERVICES, canary=CANARIES)
    def start(self, name: str, canary: str) -> None:
        """An operator starts a rollout."""
        self._act(name, Command(Verb.START, "", canary=canary))

    @under("harm")
    @rule(name=SERVICES)
    def harm(self, name: str) -> None:
        """The canary does harm."""
        self.verdicts[name] = _verdict(Outcome.HARM)
        self._pass(1.0)

    @under("act")
    @rule(name=SERVICES, verb=ACTS, canary=CANARIES, force=st.booleans())
    def act(self, name: str, verb: Verb, canary: str, force: bool) -> None:
        """An operator's act, decided on the newest state."""
        self._act(name, Command(verb, "so it is", canary, force=force and verb is Verb.ROLLBACK))

    @under("act", "lag")
    @rule(name=SERVICES, verb=ACTS, canary=CANARIES, which=WHICH)
    def act_behind(self, name: str, verb: Verb, canary: str, which: int) -> None:
        """An operator's act, decided on the state that some replica knows."""
        replica = self.replicas[which]
        if not replica.cut:
            try:
                replica.deliver(
                    replica.obey(name, Command(verb, "so it is", canary, str(self.clock.now)), self.clock.now)
                )
            except Refusal:
                return

    @under("act")
    @rule(name=SERVICES)
    def start_a_newer_one(self, name: str) -> None:
        """A newer canary comes while one is on its way."""
        self.climb(name)
        rollout = self.witness.view.services[name].rollout
        if rollout:
            canary = "v3" if rollout.canary == "v2" else "v2"
            self.act_behind(name, Verb.START, canary, 0)

    def _act(self, name: str, command: Command) -> None:
        """An operator's act. What may stop a rollback is a freeze, and nothing stops a forced one."""
        try:
            done(self.operations.act(name, command, who="ada"))
        except Refusal as refusal:
            if command.verb is Verb.ROLLBACK and refusal.code is Code.FROZEN:
                assert not command.force, "a freeze stopped a forced rollback"
                modes = {f.mode for f in self.witness.view.freezes if f.scope in (ALL, name)}
                assert Mode.FREEZE in modes, "a rollback was refused, though nothing is frozen"

    @under("endpoints")
    @rule(name=SERVICES, third=st.booleans(), moved=st.booleans())
    def redeclare(self, name: str, third: bool, moved: bool) -> None:
        """Endpoints come and go, also while frozen, and versions that carry nothing."""
        refused = None
        try:
            done(self.operations.apply(declared(name, third=third, moved=moved), who="ada", reason="moved"))
        except Refusal as refusal:
            refused = refusal.code
        assert refused is not Code.FROZEN, "a freeze stopped endpoints"

    @under("freeze")
    @rule(scope=SCOPES, mode=st.sampled_from([Mode.FREEZE, Mode.FREEZE, Mode.HOLD]))
    def freeze(self, scope: str, mode: Mode) -> None:
        """An operator freezes; it is durable when it is answered."""
        self.clock.now += 0.001
        done(self.operations.freeze([scope], who="grace", reason="incident", mode=mode))

    @under("freeze")
    @rule(scope=SCOPES)
    def unfreeze(self, scope: str) -> None:
        """An operator lifts a freeze."""
        try:
            done(self.operations.unfreeze([scope], who="grace", reason="over"))
        except Refusal:
            return

    @under("freeze")
    @rule(scope=SCOPES, name=SERVICES, mode=st.sampled_from(Mode))
    def roll_back_under_it(self, scope: str, name: str, mode: Mode) -> None:
        """An operator rolls back under a freeze by force, on hold without."""
        self.freeze(scope, mode)
        self._act(name, Command(Verb.ROLLBACK, "no more", force=mode is Mode.FREEZE))

    # Races.

    @under("freeze")
    @rule(scope=SCOPES, name=SERVICES)
    def freeze_while_advancing(self, scope: str, name: str) -> None:
        """A freeze lands between an advance's decision and its write."""
        self.verdicts[name] = _verdict(Outcome.PASS)
        self.clock.now += POLICY.dwell
        self.truth.passed(POLICY.dwell)
        writes = [(replica, write) for replica in self.replicas for write in self._looks(replica)]
        self.freeze(scope, Mode.FREEZE)
        for replica, write in writes:
            replica.deliver(write)

    @under("act")
    @rule(name=SERVICES)
    def roll_back_while_advancing(self, name: str) -> None:
        """An operator's rollback lands between an advance's decision and its write."""
        self.verdicts[name] = _verdict(Outcome.PASS)
        self.clock.now += POLICY.dwell
        self.truth.passed(POLICY.dwell)
        writes = [(replica, write) for replica in self.replicas for write in self._looks(replica)]
        self._act(name, Command(Verb.ROLLBACK, "no more", force=True))
        for replica, write in writes:
            replica.deliver(write)

    @under("freeze")
    @rule(scope=SCOPES)
    def freeze_again_while_unfreezing(self, scope: str) -> None:
        """A second freeze lands between the reading of the first and its lifting."""
        self.freeze(scope, Mode.FREEZE)
        read = tuple(f for f in self.witness.view.freezes if f.scope == scope)
        self.freeze(scope, Mode.FREEZE)
        entry = Entry(kind="freeze_lifted", service=scope, who="haldane", why="its ttl is over")
        self.replicas[0].deliver(Write(Change(f"lift-{self.clock.now}", "", Act.RECORD, entry, lift=read), None))

    # Faults.

    @under("restart")
    @rule(name=SERVICES)
    def die_after_writing(self, name: str) -> None:
        """kill -9 of every controller after an advance was written, before what is known of the rollout was saved."""
        self.verdicts[name] = _verdict(Outcome.PASS)
        for replica in self.replicas:
            replica.forgetful = True
        self._pass(POLICY.dwell)
        for which in range(3):
            self.restart(which)
        self._pass(1.0)

    @under("restart")
    @rule(which=WHICH)
    def restart(self, which: int) -> None:
        """kill -9 and a new process, which leads if the old one did; its proxies come back to it."""
        old = self.replicas[which]
        proxies = [name for name, at in self.at.items() if at == which]
        before = {name: dict(self.proxies[name].routes) for name in proxies}
        self.replicas[which] = new = self._replica(which)
        self.late = [(replica, write) for replica, write in self.late if replica is not old]
        if old.token:
            new.token = self.witness.campaign(new.name)
        for name in proxies:
            self._connect(name, which).run()
            self.truth.check_unmoved(before[name], self.proxies[name].routes)

    @under("sleep")
    @rule(which=WHICH, other=WHICH)
    def sleep(self, which: int, other: int) -> None:
        """A controller stops (SIGSTOP, a long pause); another begins a term. Its writes under way are late."""
        if which != other:
            self.late += [(self.replicas[which], write) for write in self._looks(self.replicas[which])]
            self.replicas[which].asleep = True
            self.replicas[other].token = self.witness.campaign("other")

    @under("sleep")
    @rule(which=WHICH)
    def wake(self, which: int) -> None:
        """It goes on, and does not know what happened meanwhile."""
        self.replicas[which].asleep = False

    @under("cut", "deaf")
    @rule(which=WHICH, on=st.booleans())
    def cut(self, which: int, on: bool) -> None:
        """A controller loses the store, or only its answers; or has it back."""
        self.replicas[which].cut = on and "cut" in self.troubles
        self.replicas[which].deaf = on and "deaf" in self.troubles

    @under("retry")
    @rule(which=st.integers(0, 999))
    def retry(self, which: int) -> None:
        """Somebody who got no answer sends the same change again, however old it is."""
        change, _ = self.witness.changes[which % len(self.witness.changes)]
        self.replicas[0].deliver(Write(change, None))

    @under("retry")
    @rule(which=st.integers(0, 999))
    def use_again(self, which: int) -> None:
        """Somebody sends another change under an id that was used."""
        change, _ = self.witness.changes[which % len(self.witness.changes)]
        try:
            self.witness.operator(replace(change, fingerprint="another"))
        except ReusedId:
            return
        except (Conflict, Frozen) as other:
            raise AssertionError("an id that was used was not known") from other
        raise AssertionError("an id was taken for another change")

    @under("lag")
    @rule(which=WHICH, back=st.integers(0, 5))
    def catch_up(self, which: int, back: int) -> None:
        """A view reaches a controller: not always the newest, and perhaps one that it has passed."""
        views = self.witness.views
        self.replicas[which].follow(views[max(0, len(views) - 1 - back)])

    @under("slow")
    @rule(name=st.sampled_from(["proxy-0", "proxy-1"]), hear=st.booleans())
    def exchange(self, name: str, hear: bool) -> None:
        """One message between a proxy and its controller arrives."""
        self._deliver(name, self.replicas[self.at[name]].links[name], hear=hear)

    @under("move")
    @rule(name=st.sampled_from(["proxy-0", "proxy-1"]), which=WHICH)
    def move(self, name: str, which: int) -> None:
        """A proxy's stream ends, and it comes to another controller, which may be behind."""
        self._connect(name, which)

    @under("refuse")
    @rule(name=st.sampled_from(["proxy-0", "proxy-1"]), how=st.sampled_from([REFUSE, BLAME]))
    def refuse(self, name: str, how: str) -> None:
        """A proxy will refuse the next routes that come to it."""
        self.refusing[name] = how

    @under("jump")
    @rule(hours=st.sampled_from([-1.0, 1.0]))
    def jump(self, hours: float) -> None:
        """The wall clock jumps; the monotonic one does not. A healthy canary gains nothing by it."""
        self.clock.skew += hours * 3600
        self.verdicts = dict.fromkeys(NAMES, _verdict(Outcome.PASS))
        self._pass(1.0)

    def _connect(self, name: str, which: int) -> Link:
        for replica in self.replicas:
            replica.links.pop(name, None)
        self.at[name] = which
        link = self.replicas[which].connect(name, self.proxies[name])
        settle(link)
        return link

    # What must hold after every step.

    @invariant()
    def all_holds(self) -> None:
        if not hasattr(self, "at"):
            return
        self.truth.learn()
        self._settle()
        self.witness.check()
        for replica in self.replicas:
            self.truth.check_replica(replica)
        for name, proxy in self.proxies.items():
            self.truth.check_proxy(name, proxy)

    def _settle(self) -> None:
        """Without faults on the way, views and messages arrive at once."""
        for n, replica in enumerate(self.replicas):
            if n == 0 or "lag" not in self.troubles:
                replica.follow(self.witness.view)
            for name, link in replica.links.items() if "slow" not in self.troubles else ():
                while link.to_client or link.to_server:
                    self._deliver(name, link, hear=not link.to_client)

    def _deliver(self, name: str, link: Link, *, hear: bool) -> None:
        """The oldest message of one direction arrives, if there is one."""
        if hear and link.to_server:
            link.hear()
        elif not hear and link.to_client:
            routes = link.to_client[0].type_url == RDS
            link.take(self.refusing.pop(name, "") if routes else "")

    def teardown(self) -> None:
        """The faults end: within a bound, everything is where it should be."""
        if hasattr(self, "at") and self.ends_well:
            calm(self)


def calm(model: Model) -> None:
    """No fault any more, no freeze, every person at hand: each rollout ends as its verdict says, at every proxy."""
    model.troubles, model.late, model.refusing = set(), [], {}
    model.clock.skew = 0.0
    model.replicas = [model._replica(n) for n in range(3)]
    model.replicas[1].token = model.witness.campaign("calm")
    for name in model.proxies:
        model._connect(name, 1)
    model.unfreeze(ALL)
    begun = {name: model.witness.view.services[name].rollout for name in NAMES}
    model.verdicts = dict.fromkeys(NAMES, _verdict(Outcome.PASS if model.good else Outcome.HARM))
    for _ in range(2 * len(POLICY.steps) + 8):
        for name in NAMES:
            model._act(name, Command(Verb.RESUME, "calm"))
            model._act(name, Command(Verb.APPROVE, "calm"))
        model._pass(POLICY.dwell)
        model.all_holds()
        for proxy in model.proxies.values():
            model.truth.check_newest(proxy)
    for replica in model.replicas:
        assert replica.view.revision == model.witness.view.revision, "a replica lags"
    for name, rollout in begun.items():
        ended = model.witness.view.services[name].rollout
        if rollout and ended:
            taken_back = rollout.phase in BACK or (rollout.running and not model.good)
            due = Phase.ROLLED_BACK if taken_back else Phase.PROMOTED
            assert ended.phase is due, f"{ended.phase} at the end, though it should be {due}"


def _verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome, (Reason("model", f"said {outcome}"),))
