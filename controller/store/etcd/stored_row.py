"""A line of the ledger and its effect, as they are stored under one key.

Four bytes with the length of the line, then the line, then the effect, both compressed: who reads lines need not
decompress effects, which have whole service files in them.
"""

import json

import structlog

from controller.core.model.ledger_line import LedgerLine, services_of
from controller.store.etcd.keys import packed, unpacked
from controller.store.ledger_replay import LedgerRow
from controller.store.records import canonical

_LENGTH = 4

log = structlog.get_logger()


def row_value(row: LedgerRow) -> bytes:
    """A line and its effect as they are stored."""
    line = packed(canonical(row.line.model_dump(mode="json")))
    return len(line).to_bytes(_LENGTH, "big") + line + packed(row.effect)


def row_of(value: bytes) -> LedgerRow | None:
    """The row that is stored so; None if it cannot be read."""
    line = line_of(value)
    try:
        return LedgerRow(line, unpacked(value[_end_of_line(value) :])) if line else None
    except Exception as error:  # one that cannot be read must not hide the others
        _unreadable(error)
        return None


def line_of(value: bytes) -> LedgerLine | None:
    """The line of a row that is stored so; None if it cannot be read."""
    try:
        return LedgerLine.model_validate_json(_line(value))
    except Exception as error:
        _unreadable(error)
        return None


def scope_of(value: bytes) -> tuple[str, ...]:
    """The services that the line of a row is about; none if it cannot be read."""
    try:
        return services_of(json.loads(_line(value))["entry"]["service"])
    except Exception:
        return ()


def _end_of_line(value: bytes) -> int:
    return _LENGTH + int.from_bytes(value[:_LENGTH], "big")


def _line(value: bytes) -> str:
    return unpacked(value[_LENGTH : _end_of_line(value)])


def _unreadable(error: Exception) -> None:
    log.error("ledger_line_unreadable", reason=str(error).partition("\n")[0])
