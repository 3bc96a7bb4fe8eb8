"""A stream and a test that speaks to it, one message at a time."""

from collections.abc import Sequence

from controller.core.model.state import ServiceState
from controller.xds.lanes import Stream
from controller.xds.snapshot import CDS, EDS, LDS, RDS, Snapshot
from controller.xds.stream import DeltaRequest, Event, Reply, Request, step
from controller.xds.world import World
from tests.xds.worlds import STORE, view


class Talk:
    """What is said on one stream, state of the world or Delta. Every method returns what the server sends then."""

    def __init__(
        self, *states: ServiceState, delta: bool = False, revision: int = 1, store: str = STORE, shared: bool = True
    ) -> None:
        self.world = World()
        self.revision = revision
        self.world.turn(view(revision, *states, store=store))
        self.delta = delta
        self.stream, _ = step(Stream(delta=delta, shared=shared), self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """What is served now."""
        found = self.world.snapshot("")
        assert found
        return found

    def event(self, event: Event) -> list[Reply]:
        """Anything."""
        self.stream, replies = step(self.stream, event)
        return list(replies)

    def publish(self, *states: ServiceState, revision: int | None = None) -> list[Reply]:
        """The next view."""
        self.revision = revision or self.revision + 1
        self.world.turn(view(self.revision, *states))
        return self.event(self.snapshot)

    def ask(self, type_url: str, *names: str, version: str = "", nonce: str = "") -> list[Reply]:
        """State of the world: these names, all of them."""
        return self.event(Request(type_url, names, version=version, nonce=nonce))

    def subscribe(self, type_url: str, *names: str, initial: Sequence[tuple[str, str]] = ()) -> list[Reply]:
        """Delta: these names too; `initial` are the versions that the client has."""
        return self.event(DeltaRequest(type_url, subscribe=names, initial=tuple(initial)))

    def unsubscribe(self, type_url: str, *names: str) -> list[Reply]:
        """Delta: these names no more."""
        return self.event(DeltaRequest(type_url, unsubscribe=names))

    def ack(self, reply: Reply, *names: str) -> list[Reply]:
        """Accepted; in the state of the world with the names that are subscribed now."""
        return self._answer(reply, names, None)

    def nack(self, reply: Reply, *names: str, error: str = "bad") -> list[Reply]:
        """Refused."""
        return self._answer(reply, names, error)

    def _answer(self, reply: Reply, names: Sequence[str], error: str | None) -> list[Reply]:
        if self.delta:
            return self.event(DeltaRequest(reply.type_url, nonce=reply.nonce, error=error))
        version = reply.version if error is None else ""
        return self.event(Request(reply.type_url, tuple(names), version=version, nonce=reply.nonce, error=error))


def greeted(*states: ServiceState, delta: bool = False, revision: int = 1) -> Talk:
    """A stream on which an Envoy has everything."""
    talk = Talk(*states, delta=delta, revision=revision)
    ask = talk.subscribe if delta else talk.ask
    endpoints, tables = sorted(talk.snapshot.catalogue(EDS).listed), sorted(talk.snapshot.catalogue(RDS).listed)
    for type_url, asked in ((CDS, []), (EDS, endpoints), (LDS, []), (RDS, tables)):
        for reply in ask(type_url, *asked):
            assert talk.ack(reply, *asked) == []
    return talk


def names(reply: Reply) -> list[str]:
    """What a response carries."""
    return sorted(resource.name for resource in reply.resources)


def types(replies: Sequence[Reply]) -> list[str]:
    """The types of some responses, in their order."""
    return [reply.type_url for reply in replies]
