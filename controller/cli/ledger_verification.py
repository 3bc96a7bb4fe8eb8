"""The ledger's chain, checked from what the API shows: the client trusts no word of the controller's about it."""

import json
from collections.abc import Iterable

from controller.core.model.ledger_chain import Chain, verify
from controller.core.model.ledger_line import Entry, LedgerLine, services_of
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def check(events: Iterable[pb.Event], *, whole: bool) -> Chain:
    """Follow the chain to its end, or to the first line that does not fit. `whole`: these are all lines there are."""
    return verify(map(_line, events), whole=whole)


def _line(event: pb.Event) -> LedgerLine:
    """The line as the controller hashed it."""
    return LedgerLine(
        sequence=event.sequence,
        revision=event.revision,
        at=event.at,
        change_id=event.change_id,
        entry=Entry(
            kind=event.kind,
            services=services_of(event.service),
            who=event.who,
            why=event.why,
            weights_before=dict(event.weights_before),
            weights_after=dict(event.weights_after),
            details=json.loads(event.details or "{}"),
        ),
        effect=event.effect,
        previous=event.previous,
        hash=event.hash,
    )
