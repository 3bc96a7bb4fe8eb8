"""Proxies, and the way from the store to them: views and messages that take their time, streams that end, refusals."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.play import WHICH, Play, under
from tests.xds.simulated_envoy import NACK, NACK_BY_NAME

PROXIES = st.sampled_from(["proxy-0", "proxy-1"])


class Proxies(Play):
    """Rules of what is on its way to a proxy."""

    @under("lag")
    @rule(which=WHICH, back=st.integers(0, 5))
    def catch_up(self, which: int, back: int) -> None:
        """A view reaches a controller: not always the newest, and perhaps one that it has passed."""
        views = self.checker.views
        self.replicas[which].follow(views[max(0, len(views) - 1 - back)])

    @under("slow")
    @rule(name=PROXIES, hear=st.booleans())
    def exchange(self, name: str, hear: bool) -> None:
        """One message between a proxy and its controller arrives."""
        self._deliver(name, self.replicas[self.at[name]].links[name], hear=hear)

    @under("move")
    @rule(name=PROXIES, which=WHICH)
    def move(self, name: str, which: int) -> None:
        """A proxy's stream ends, and it comes to another controller, which may be behind."""
        self._connect(name, which)

    @under("refuse")
    @rule(name=PROXIES, how=st.sampled_from([NACK, NACK_BY_NAME]))
    def refuse(self, name: str, how: str) -> None:
        """A proxy will refuse the next routes that come to it."""
        self.refusing[name] = how
