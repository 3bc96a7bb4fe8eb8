"""What a controller tells the one that decides of its proxies, and how soon."""

from controller.core.control.sync import Sync
from controller.core.model.rollout import Phase
from controller.core.model.view import View
from controller.runtime.edge_status import LIST_EVERY, EdgeStatus
from tests.builders import state, state_in
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet

LAGGING, WHOLE = Sync(0, 1), Sync(1, 1)


class Edge:
    """A controller of one proxy and one service, all of which has been told."""

    def __init__(self) -> None:
        self.fleet, self.clock = FakeFleet(synced=WHOLE), FakeClock()
        self.view = View("store", 1, {"scorer": state()})
        self.status = EdgeStatus(self.fleet, lambda: self.view, self.clock)
        list(self.status.everything())

    def decide(self, revision: int, phase: Phase) -> None:
        """The rollout is in that phase from that revision on, which the proxy has yet to ACK."""
        self.view = View("store", revision, {"scorer": state_in(phase, revision=revision)})
        self.fleet.synced = LAGGING

    def told(self) -> list[tuple[int, bool]]:
        """Of each sync that is told now: of which revision, and whether every proxy has it."""
        syncs = [sync for update in self.status.changes() for sync in update.syncs.values()]
        return [(each.revision, each.sync.complete) for each in syncs]


def test_each_ack_of_a_rollout_is_told_at_once_and_so_is_that_of_its_rollback() -> None:
    """Although no rollout runs any more: operators wait for the proxies that have yet to leave the canary."""
    edge = Edge()
    edge.decide(2, Phase.PROGRESSING)
    assert edge.told() == [(2, False)]
    edge.fleet.synced = WHOLE
    assert edge.told() == [(2, True)]
    edge.decide(3, Phase.ROLLED_BACK)
    assert edge.told() == [(3, False)]
    assert edge.told() == []
    edge.fleet.synced = WHOLE
    assert edge.told() == [(3, True)]


def test_what_does_not_move_is_looked_at_seldom() -> None:
    """A thousand services at rest cost nothing between two walks."""
    edge = Edge()
    edge.fleet.synced = LAGGING
    assert edge.told() == []
    edge.clock.advance(LIST_EVERY)
    assert edge.told() == [(state().revision, False)]
