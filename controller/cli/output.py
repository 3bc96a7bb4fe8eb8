"""What goes to standard output: one JSON document, or lines and tables of text."""

import io
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from google.protobuf.message import Message

from controller.core.base.text import clean, clean_values
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def make_streams_safe() -> None:
    """Replace closed standard streams, and escape letters that their encoding does not have.

    Otherwise an error of the output could end a command whose act is already done.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (for the process's life)
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON values: every field under its name in the proto, empty ones too, whole
    numbers as numbers.

    A message that is not set is null, and so is what JSON has no number for (infinity: a p99 above
    the last bucket). An event's `details`, which is JSON itself, is shown as an object.
    """
    values = {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}
    if isinstance(message, pb.Event) and message.details:
        values["details"] = json.loads(message.details)
    return values


def service_document(service: pb.Service) -> dict[str, Any]:
    """A service with the fields of its rollout beside its own, for `jq .phase`."""
    rollout = service.rollout if service.HasField("rollout") else pb.Rollout(phase="IDLE")
    return {**plain(rollout), **plain(service), "service": service.name}


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document on one line, at once, its texts clean as in tables."""
    plain_text = "utf" in (sys.stdout.encoding or "").lower()
    click.echo(json.dumps(clean_values(document), ensure_ascii=not plain_text, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; the last one is not padded."""
    cells = [list(head), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head) - 1)]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*padded, row[-1]]).rstrip())


def _value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if _is_map(field):
        return {str(key): _item(item) for key, item in value.items()}
    if field.is_repeated:
        return [_item(item) for item in value]
    if field.message_type and not message.HasField(field.name):
        return None
    return _item(value)


def _item(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return plain(value) if isinstance(value, Message) else value


def _is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)
