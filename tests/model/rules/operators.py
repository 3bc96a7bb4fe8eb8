"""Operators' commands on rollouts."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from controller.core.base.errors import Code, Refusal
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.control.commands import Command, Verb
from controller.core.model.rollout import Phase
from tests.model.play import CANARIES, SERVICES, WHICH, Play, under
from tests.model.values import ASKED, POLICY

ACTS = st.sampled_from([Verb.START, Verb.PAUSE, Verb.RESUME, Verb.APPROVE, Verb.APPROVE, Verb.PROMOTE, Verb.ROLLBACK])
WEIGHTS = st.sampled_from([*POLICY.steps[1:], TOTAL_WEIGHT])


class Operators(Play):
    """Rules of people who command."""

    @rule(name=SERVICES, canary=CANARIES)
    def start(self, name: str, canary: str) -> None:
        """An operator starts a rollout."""
        self._act(name, Command(Verb.START, "", canary))

    @under("act")
    @rule(name=SERVICES, verb=ACTS, canary=CANARIES, force=st.booleans())
    def act(self, name: str, verb: Verb, canary: str, force: bool) -> None:
        """An operator's act, decided on the newest state."""
        self._act(name, Command(verb, "so it is", canary, force=force and verb is Verb.ROLLBACK))

    @under("act", "lag")
    @rule(name=SERVICES, verb=ACTS, canary=CANARIES, which=WHICH)
    def act_behind(self, name: str, verb: Verb, canary: str, which: int) -> None:
        """An operator's act, decided on the state that some replica knows."""
        self._act_behind(name, Command(verb, "so it is", canary), which)

    @under("act")
    @rule(name=SERVICES)
    def start_a_newer_one(self, name: str) -> None:
        """A newer canary comes while one is on its way."""
        self._climb(name)
        state = self.checker.view.services.get(name)
        if state and state.rollout:
            canary = "v3" if state.rollout.canary == "v2" else "v2"
            self._act_behind(name, Command(Verb.START, "so it is", canary), 0)

    @pytest.mark.proves("promise 9")
    @under("act")
    @rule(name=SERVICES, which=WHICH, canary=CANARIES, weight=WEIGHTS)
    def approve_by_name(self, name: str, which: int, canary: str, weight: int) -> None:
        """An operator's yes to one weight of one canary. If something else asks by now, it is refused as that."""
        seen, before = self.replicas[which].view.services.get(name), self.checker.view
        refused = self._act_behind(
            name, Command(Verb.APPROVE, "looks good", expected_canary=canary, weight=weight), which
        )
        asked = seen.rollout if seen and seen.rollout and seen.rollout.phase is Phase.AWAITING_APPROVAL else None
        meant = asked is not None and (asked.canary, asked.next_weight) == (canary, weight)
        if not meant:
            assert self.checker.view is before, "an approval of something else counted"
        if asked and not self.replicas[which].cut:
            assert refused is (None if meant else Code.CONFLICT), f"a yes by name was answered by {refused}"

    @under("act")
    @rule()
    def approve_late(self) -> None:
        """A yes that arrives when another one has counted, and the next weight is asked for."""
        self._climb(ASKED)
        state = self.checker.view.services.get(ASKED)
        if state and state.rollout:
            self._act(ASKED, Command(Verb.APPROVE, "looks good"))
            self._settle()
            self._pass(1.0)
            self._climb(ASKED)
            self.approve_by_name(ASKED, 0, state.rollout.canary, state.rollout.next_weight)

    def _act_behind(self, name: str, command: Command, which: int) -> Code | None:
        """A command, decided on the state that this replica knows: None if it was sent, or why it was refused."""
        replica = self.replicas[which]
        try:
            if not replica.cut:
                replica.deliver(replica.execute(name, command, self.clock.now))
        except Refusal as refusal:
            return refusal.code
        return None
