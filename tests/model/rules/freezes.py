"""The kill switch: freezes and holds, with and without an end."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from controller.core.control.commands import Command, Verb
from controller.core.model.freeze import ALL, Mode
from tests.model.play import SERVICES, Play, under
from tests.model.values import NAMES

SHORT, LONG = 2.0, 60.0
"""Seconds of a ttl: over by the next look, and not for many steps."""

SCOPES = st.sampled_from([*NAMES, ALL])
MODES = st.sampled_from([Mode.FREEZE, Mode.FREEZE, Mode.HOLD])
TTLS = st.sampled_from([None, None, SHORT, LONG])


class Freezes(Play):
    """Rules of people who stop everything."""

    @under("freeze")
    @rule(scope=SCOPES, mode=MODES, ttl=TTLS)
    def freeze(self, scope: str, mode: Mode, ttl: float | None) -> None:
        """An operator freezes."""
        self._freeze(scope, mode, ttl)

    @under("freeze")
    @rule(scope=SCOPES)
    def unfreeze(self, scope: str) -> None:
        """An operator lifts a freeze."""
        self._unfreeze(scope)

    @under("freeze")
    @rule(scope=SCOPES, mode=MODES, ttl=TTLS)
    def freeze_beside_a_short_one(self, scope: str, mode: Mode, ttl: float | None) -> None:
        """A freeze stands beside someone's short one, which ends; then the same person freezes again."""
        self._freeze(scope, mode, ttl, who="joan")
        self._freeze(scope, Mode.FREEZE, SHORT)
        for seconds in (1.0, SHORT):
            self._settle()
            self._pass(seconds)
        self._freeze(scope, Mode.FREEZE, LONG)
        self._settle()
        self._pass(1.0)

    @under("freeze")
    @rule(scope=SCOPES, name=SERVICES, mode=st.sampled_from(Mode))
    def roll_back_under_it(self, scope: str, name: str, mode: Mode) -> None:
        """An operator rolls back under a freeze by force, on hold without; no other one stands."""
        self._unfreeze(ALL)
        self._freeze(scope, mode)
        self._act(name, Command(Verb.ROLLBACK, "no more", force=mode is Mode.FREEZE))
