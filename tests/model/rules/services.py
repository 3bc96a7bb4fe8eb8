"""Service files that come and go."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from controller.core.control.commands import Command, Verb
from tests.model.play import CANARIES, SERVICES, Play, under


class Services(Play):
    """Rules of people who declare and delete."""

    @under("endpoints")
    @rule(name=SERVICES, third=st.booleans(), moved=st.booleans())
    def redeclare(self, name: str, third: bool, moved: bool) -> None:
        """Endpoints come and go, also while frozen, and versions that carry nothing."""
        self._apply(name, third=third, moved=moved)

    @under("delete")
    @rule(name=SERVICES)
    def delete(self, name: str) -> None:
        """An operator takes a service away."""
        self._delete(name)

    @under("delete")
    @rule(name=SERVICES, canary=CANARIES)
    def declare_anew(self, name: str, canary: str) -> None:
        """A service comes back under its name, and a canary with it."""
        if name not in self.checker.view.services:
            assert self._apply(name) is None, "a service that was deleted could not come back"
            self._act(name, Command(Verb.START, "", canary))
