"""Two at once: something lands between a decision and its write. Left to chance, these moments are too rare."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from controller.core.base.errors import Refusal
from controller.core.control.automation import CONFIRM_WITHIN
from controller.core.control.commands import Command, Verb
from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Mode
from controller.core.model.ledger_line import Entry
from tests.model.play import SERVICES, Play, under
from tests.model.replica import Replica, Write
from tests.model.rules.freezes import SCOPES


class Races(Play):
    """Rules of moments that are known to matter."""

    @under("freeze")
    @rule(scope=SCOPES, name=SERVICES)
    def freeze_while_advancing(self, scope: str, name: str) -> None:
        """A freeze lands between an advance's decision and its write; no other one stands in the way of deciding."""
        self._unfreeze(ALL)
        self._settle()
        writes = self._decided(name)
        self._freeze(scope, Mode.FREEZE)
        self._arrive(writes)

    @under("act")
    @rule(name=SERVICES)
    def roll_back_while_advancing(self, name: str) -> None:
        """An operator's rollback lands between an advance's decision and its write."""
        writes = self._decided(name)
        self._act(name, Command(Verb.ROLLBACK, "no more", force=True))
        self._arrive(writes)

    @under("freeze")
    @rule(scope=SCOPES)
    def freeze_again_while_unfreezing(self, scope: str) -> None:
        """A second freeze lands between the reading of the first and its lifting."""
        self._freeze(scope, Mode.FREEZE)
        read = tuple(f for f in self.checker.view.freezes if f.scope == scope)
        self._freeze(scope, Mode.FREEZE)
        entry = Entry(kind="freeze_lifted", services=(scope,), who="haldane", why="read before the second one")
        self.replicas[0].deliver(Write(Change(f"lift-{self.clock.now}", "", Act.RECORD, entry, lift=read), None))

    @under("delete")
    @rule(name=SERVICES, again=st.booleans())
    def delete_while_deciding(self, name: str, again: bool) -> None:
        """A service is deleted, and perhaps comes back, between what was decided about it and the write of that."""
        writes = [*self._decided(name), *self._commanded(name)]
        self._act(name, Command(Verb.ROLLBACK, "no more", force=True))
        self._settle()
        self._pass(CONFIRM_WITHIN)
        self._delete(name)
        if again:
            self._apply(name)
            self._act(name, Command(Verb.START, "", "v2"))
        self._arrive(writes)

    def _commanded(self, name: str) -> list[tuple[Replica, Write]]:
        """A rollback that an operator wants of each controller, decided and not yet written."""
        found = []
        for replica in self.replicas:
            try:
                write = replica.execute(name, Command(Verb.ROLLBACK, "no more", force=True), self.clock.now)
            except Refusal:
                continue
            found.append((replica, write))
        return found

    def _arrive(self, writes: list[tuple[Replica, Write]]) -> None:
        for replica, write in writes:
            replica.deliver(write)
