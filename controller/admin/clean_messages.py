"""Texts of messages to clients, made safe to show wherever they came from, and in whatever release they were stored."""

from collections.abc import MutableMapping
from typing import Any

from google.protobuf.message import Message

from controller.core.base.text import clean_lines


def clean_message(message: Message) -> None:
    """Clean every text in the message, in place, and in the messages within it. Keys of maps are names, and stay."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, clean_lines(value))
        elif isinstance(value, Message):
            clean_message(value)
        elif isinstance(value, MutableMapping):
            _clean_items(value, list(value.items()))
        elif field.is_repeated:
            _clean_items(value, list(enumerate(value)))


def _clean_items(values: Any, items: list[tuple[Any, Any]]) -> None:
    """Clean the values of a map, or of a list by their places."""
    for key, value in items:
        if isinstance(value, str):
            values[key] = clean_lines(value)
        elif isinstance(value, Message):
            clean_message(value)
