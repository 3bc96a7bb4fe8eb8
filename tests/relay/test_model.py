"""No request is lost and none counts twice, whatever fails; and each part of the relay that sees to it is needed."""

from collections.abc import Mapping

import pytest

from controller.core.control.session import Session
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import ReportBatch
from controller.core.traffic.report_intake import ReportIntake
from controller.core.traffic.report_log import ReportLog
from tests.relay.relay_model import DECIDED, Edge, World, play

SEEDS = range(150)


def test_each_request_counts_once() -> None:
    """Over streams that are lost, answers that are, messages that come twice and late, and leaders that die."""
    for seed in SEEDS:
        play(World, seed)


class Forgetful(ReportIntake):
    """Does not remember which batches it has read."""

    def add(self, instance: str, batch: ReportBatch, now: float) -> set[str]:
        self._logs[instance].received = batch.number - 1
        return super().add(instance, batch, now)


class CountsTwice(World):
    """A batch that is sent again counts again."""

    def intake(self, book: Book, saved: Mapping[str, Mapping[str, int]]) -> ReportIntake:
        return Forgetful(book, saved, lambda _service: DECIDED)


class StartsFromZero(World):
    """A successor takes whatever the logs have, whatever is in the saved sessions."""

    def intake(self, book: Book, saved: Mapping[str, Mapping[str, int]]) -> ReportIntake:
        return ReportIntake(book, {each: {} for each in saved}, lambda _service: DECIDED)


class StartsFromNow(World):
    """A successor takes only what none has had: what the former one read and did not save is lost."""

    def intake(self, book: Book, saved: Mapping[str, Mapping[str, int]]) -> ReportIntake:
        return ReportIntake(book, {}, lambda _service: DECIDED)


class GoesBack(World):
    """A session's position is what was read last: reading again for another service sets it back."""

    def after(self, session: Session, positions: Mapping[str, int]) -> Session:
        return session._replace(positions=dict(positions))


class DropsEarly(World):
    """A batch is dropped when it is acknowledged, before it is in a saved session."""

    def acknowledge(self, edge: Edge, number: int, safe: int) -> None:
        super().acknowledge(edge, number, number)


class LosesBatches(World):
    """A batch is sent once, whether it is acknowledged or not."""

    def send(self, edge: Edge, *, answered: bool) -> None:
        batch = edge.log.next()
        super().send(edge, answered=answered)
        if batch:
            self.acknowledge(edge, batch.number, batch.number)


class Unnumbered(ReportLog):
    """Gives the next batch the number of the one before."""

    def next(self) -> ReportBatch | None:
        batch = super().next()
        return batch and ReportBatch(max(1, batch.number - 1), batch.reports, batch.splits)


class RepeatsNumbers(World):
    """Two batches have one number: the second is taken for the first, once more."""

    def log(self) -> ReportLog:
        return Unnumbered()


MUTANTS = (CountsTwice, StartsFromZero, StartsFromNow, GoesBack, DropsEarly, LosesBatches, RepeatsNumbers)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_relay_without_it_is_caught(mutant: type[World]) -> None:
    """In some run requests are lost, or count twice."""

    def is_caught(seed: int) -> bool:
        try:
            play(mutant, seed)
        except AssertionError:
            return True
        return False

    assert any(map(is_caught, SEEDS))
