"""The ledger's lines about versions whose source has no endpoint any more, or has one again."""

from controller.core.model.endpoint_source import FileSource
from controller.core.model.rollout import Phase
from controller.core.model.service import Endpoint
from controller.core.model.service_state import ServiceState
from controller.core.model.source_status import SharedEndpoint, SourceStatus
from controller.runtime.endpoint_lines import EndpointLines
from controller.runtime.ledger_writer import LedgerWriter
from controller.store.memory import MemoryStore
from tests.builders import state_in
from tests.fakes.clock import FakeClock
from tests.model.store_checker import done

SOURCE = FileSource(path="/v")
REST = state_in(None)


class Source:
    """What the sources of the versions say."""

    def __init__(self) -> None:
        self.numbers: dict[str, int | None] = {}

    def statuses(self, service: str) -> dict[str, SourceStatus]:
        return {
            version: SourceStatus(SOURCE, None if number is None else (Endpoint(host="10.0.0.1", port=1),) * number)
            for version, number in self.numbers.items()
        }

    def shared(self, service: str) -> tuple[SharedEndpoint, ...]:
        return ()


def lines(*observed: tuple[ServiceState, dict[str, int | None]]) -> list[tuple[str, str]]:
    """The kinds and texts of the lines of one term in which so many endpoints are seen; None: not read yet."""
    store, source = MemoryStore(clock=FakeClock()), Source()
    writer = LedgerWriter(store, done(store.campaign("haldane")).token)
    written = EndpointLines(writer, source)
    for state, numbers in observed:
        source.numbers = numbers
        written.observe(state)
        done(writer.write())
    return [(line.entry.kind, line.entry.why) for line in done(store.events(after=0, limit=100))]


def test_pods_that_come_and_go_make_no_line() -> None:
    """Nor does the first reading, whatever it says of a version without traffic."""
    numbers = ({"v1": None, "v2": None}, {"v1": 3, "v2": 0}, {"v1": 1, "v2": 0}, {"v1": 100, "v2": 0})
    assert lines(*((REST, each) for each in numbers)) == []


def test_a_version_without_endpoints_has_a_line_and_its_return_another() -> None:
    """Each once, however often it is looked at."""
    assert lines(*((REST, {"v1": 2, "v2": number}) for number in (1, 0, 0, 4, 5, 0))) == [
        ("endpoints_gone", "v2 has no endpoint: file /v"),
        ("endpoints_back", "v2 has endpoints again: file /v"),
        ("endpoints_gone", "v2 has no endpoint: file /v"),
    ]


def test_a_new_term_says_only_that_a_version_with_traffic_is_empty() -> None:
    """A canary that was scaled to nothing after its rollback is no news at each restart."""
    assert lines((REST, {"v1": 0, "v2": 0})) == [("endpoints_gone", "v1 has no endpoint: file /v")]
    assert lines((state_in(Phase.PROGRESSING), {"v2": 0})) == [("endpoints_gone", "v2 has no endpoint: file /v")]
