"""The model: operators, controllers, proxies and a clock act in any order, under a few faults at a time.

What can happen is in `rules`; what it is made from in `play.py`. What must hold is checked after every step, and once
more, with more of it, when the faults have ended.
"""

import pytest
from hypothesis.stateful import invariant

from controller.core.control.commands import Command, Verb
from controller.core.judge.verdict import Outcome
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from tests.model.play import said
from tests.model.rules.faults import Faults
from tests.model.rules.freezes import Freezes
from tests.model.rules.operators import Operators
from tests.model.rules.proxies import Proxies
from tests.model.rules.races import Races
from tests.model.rules.services import Services
from tests.model.rules.watching import Watching
from tests.model.store_checker import BACK
from tests.model.values import NAMES, POLICY


class Model(Watching, Operators, Services, Freezes, Faults, Proxies, Races):
    """Every rule, and what must hold after each."""

    ends_well = True
    """Whether a run ends with the faults' end."""

    @invariant()
    def all_holds(self) -> None:
        if not hasattr(self, "at"):
            return
        self.truth.learn()
        self._settle()
        self.checker.check()
        for replica in self.replicas:
            self.truth.check_replica(replica)
        for name, proxy in self.proxies.items():
            self.truth.check_proxy(name, proxy)

    def teardown(self) -> None:
        """The faults end: within a bound, everything is where it should be."""
        if hasattr(self, "at") and self.ends_well:
            calm(self)


@pytest.mark.proves("promise 14", "promise 15", "promise 16")
def calm(model: Model) -> None:
    """No fault any more, no freeze, every person at hand: each rollout ends as its verdict says, at every proxy."""
    model.troubles, model.late, model.refusing = set(), [], {}
    model.clock.skew = 0.0
    model.replicas = [model._replica(n) for n in range(3)]
    model.replicas[1].token = model.checker.campaign("calm")
    for name in model.proxies:
        model._connect(name, 1)
    _outlast(model)
    model._unfreeze(ALL)
    for name in NAMES:
        model.declare_anew(name, "v2")
    begun = {name: model.checker.view.services[name].rollout for name in NAMES}
    model.verdicts = dict.fromkeys(NAMES, said(Outcome.PASS if model.good else Outcome.HARM))
    for _ in range(2 * len(POLICY.steps) + 8):
        for name in NAMES:
            model._act(name, Command(Verb.RESUME, "calm"))
            model._act(name, Command(Verb.APPROVE, "calm"))
        model._pass(POLICY.dwell)
        model.all_holds()
        for proxy in model.proxies.values():
            model.truth.check_newest(proxy)
    for replica in model.replicas:
        assert replica.view.revision == model.checker.view.revision, "a replica lags"
    for name, rollout in begun.items():
        ended = model.checker.view.services[name].rollout
        if rollout and ended:
            taken_back = rollout.phase in BACK or (rollout.running and not model.good)
            due = Phase.ROLLED_BACK if taken_back else Phase.PROMOTED
            assert ended.phase is due, f"{ended.phase} at the end, though it should be {due}"


@pytest.mark.proves("promise 3")
def _outlast(model: Model) -> None:
    """Every freeze that has a ttl ends by itself, whatever the clocks did."""
    left = [freeze.until - model.clock.wall() for freeze in model.checker.view.freezes if freeze.until is not None]
    model._pass(max([0.0, *left]) + 1.0)
    model.all_holds()
    assert not [f for f in model.checker.view.freezes if f.until is not None], "a freeze outlived its ttl"
