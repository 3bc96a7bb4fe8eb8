"""The ledger's hash chain, verified on the client: the lines of the API are all that it relies
on."""

import json
from collections.abc import Iterable

from controller.core.base.text import clean_values
from controller.core.model.actor import Proof
from controller.core.model.ledger_chain import ChainCheck, verify
from controller.core.model.ledger_line import Entry, LedgerLine, services_of
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


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
