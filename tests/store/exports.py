"""Exports of the ledger, read back."""

import json
from collections.abc import Iterable, Iterator

from controller.core.model.ledger_line import LedgerLine
from controller.store.ledger_replay import LedgerRow
from controller.store.records import canonical


def read_export(lines: Iterable[str]) -> Iterator[LedgerRow]:
    """The rows in the lines of an export."""
    for text in lines:
        plain = json.loads(text)
        yield LedgerRow(LedgerLine.model_validate(plain["line"]), canonical(plain["effect"]))
