"""The ledger's hash chain, verified on the client: the lines of the API are all that it relies
on."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.core.base.text import clean_values
from controller.core.model.actor import Proof
from controller.core.model.ledger_chain import ChainCheck, verify
from controller.core.model.ledger_line import Entry, LedgerLine, services_of
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

CLOCKS_DIFFER = 1.0
"""Seconds by which clocks that are kept in time may differ."""


@dataclass
class TimeOrder:
    """Whether the times of the lines that passed `watch` rise. Their order is that of their numbers: a time is what
    the clock of the controller said that wrote the line."""

    lines: int = 0
    """Lines with a time before that of the line before them, by more than `CLOCKS_DIFFER`."""
    first: int = 0
    """The number of the first of them."""
    seconds: float = 0.0
    """By how much at most."""

    def watch(self, events: Iterable[pb.Event]) -> Iterator[pb.Event]:
        """The same lines."""
        before: pb.Event | None = None
        for event in events:
            back = before.at - event.at if before else 0.0
            if back > CLOCKS_DIFFER:
                self.lines += 1
                self.first = self.first or event.sequence
                self.seconds = max(self.seconds, back)
            before = event
            yield event

    def facts(self) -> dict[str, object]:
        """As JSON values."""
        return {"lines": self.lines, "first": self.first, "seconds": round(self.seconds, 3)}


def verify_events(events: Iterable[pb.Event], *, whole: bool) -> ChainCheck:
    """The chain up to its end, or to the first line that does not fit.

    `whole`: there are no lines before these.
    """
    return verify(map(_line, events), whole=whole)


def _line(event: pb.Event) -> LedgerLine:
    """The line as the controller hashed it: as it was stored, if it is shown cleaned and otherwise the same."""
    shown = _shown(event)
    if not event.as_stored:
        return shown
    stored = LedgerLine.model_validate_json(event.as_stored)
    return stored if LedgerLine.model_validate(clean_values(stored.model_dump(mode="json"))) == shown else shown


def _shown(event: pb.Event) -> LedgerLine:
    return LedgerLine(
        sequence=event.sequence,
        revision=event.revision,
        at=event.at,
        change_id=event.change_id,
        entry=Entry(
            kind=event.kind,
            services=services_of(event.service),
            who=event.who,
            proof=Proof(event.verified_by),
            why=event.why,
            weights_before=dict(event.weights_before),
            weights_after=dict(event.weights_after),
            details=json.loads(event.details or "{}"),
        ),
        effect=event.effect,
        previous=event.previous,
        hash=event.hash,
    )
