"""The ledger's chain, recomputed from what the API shows: whether a line was changed, added or taken away."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from controller.core.view import Entry, LedgerLine
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@dataclass(frozen=True, slots=True)
class Chain:
    """What a check found: how many lines, the first and the last sequence number, the last hash, and what is wrong."""

    lines: int = 0
    first: int = 0
    last: int = 0
    hash: str = ""
    broken: str = ""
    """The first thing wrong, with its line; empty if all is well."""


def check(events: Iterable[pb.Event]) -> Chain:
    """Follow the chain to its end, or to the first line that does not fit.

    What comes before the first line is taken as given: a ledger that was trimmed can be checked from there on.
    """
    chain = Chain()
    for event in events:
        broken = _wrong(chain, event)
        if broken:
            return Chain(chain.lines, chain.first, chain.last, chain.hash, f"line {event.sequence}: {broken}")
        chain = Chain(chain.lines + 1, chain.first or event.sequence, event.sequence, event.hash)
    return chain


def _wrong(chain: Chain, event: pb.Event) -> str:
    if chain.lines and event.sequence != chain.last + 1:
        return f"follows line {chain.last}: what was between them is gone"
    if chain.lines and event.previous != chain.hash:
        return "does not carry the hash of the line before"
    if event.sequence == 1 and event.previous:
        return "is the first and yet carries the hash of a line before"
    if _line(event).digest() != event.hash:
        return "its content does not give its hash: it was changed"
    return ""


def _line(event: pb.Event) -> LedgerLine:
    return LedgerLine(
        sequence=event.sequence,
        revision=event.revision,
        at=event.at,
        change_id=event.change_id,
        entry=Entry(
            kind=event.kind,
            service=event.service,
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
