"""Text that others send, made safe to show: what rewrites a terminal, reorders a line or cannot be seen is taken out.

Unicode names these characters: the controls (general category Cc), the line and paragraph separators (Zl, Zp), the
bidirectional embeddings, overrides and isolates (UAX #9), and what is invisible (Default_Ignorable_Code_Point of
DerivedCoreProperties.txt, and interlinear annotations). Of the invisible ones U+FE0E and U+FE0F may stay: they say
whether a character is drawn as text or as an emoji.
"""

import re
from typing import Any

_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
"""Halves of pairs, which are no text: no UTF-8 holds them."""
_REORDERING = "\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)

_UNSAFE = re.compile(f"[{_CONTROLS}{_SURROGATES}{_REORDERING}{_INVISIBLE}]")
_UNSAFE_IN_LINES = re.compile(rf"(?![\t\n])[{_CONTROLS}{_SURROGATES}{_REORDERING}{_INVISIBLE}]")
_DISTURBING = re.compile(f"[{_CONTROLS}{_SURROGATES}{_REORDERING}]")
_SPACES = re.compile(f"[{_CONTROLS}]")


def is_printable(text: str) -> bool:
    """Whether every character can be seen or is a space: for names and ids, which are keys and must stay as they are.

    `str.isprintable` takes some letters and marks without width for printable.
    """
    return text.isprintable() and not _UNSAFE.search(text)


def find_unsafe(text: str) -> str:
    """The first character, other than tabs and ends of lines, that `clean_lines` takes out; "" if there is none."""
    found = _UNSAFE_IN_LINES.search(text.replace("\r", ""))
    return found[0] if found else ""


def is_disturbing(text: str) -> bool:
    """Whether the text has controls, or characters that change the order in which other ones are shown."""
    return _DISTURBING.search(text) is not None


def clean(text: str) -> str:
    """The text on one line: a space for each control character, and nothing for the others."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_replacement, text)


def clean_lines(text: str) -> str:
    """The text with its lines and tabs, otherwise as `clean` gives it."""
    return text if text.isascii() and text.isprintable() else _UNSAFE_IN_LINES.sub(_replacement, text)


def clean_values(value: Any) -> Any:
    """Plain JSON values with every text in them, keys too, as `clean_lines` gives it."""
    if isinstance(value, str):
        return clean_lines(value)
    if isinstance(value, dict):
        return {clean_values(key): clean_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean_values(inner) for inner in value]
    return value


def _replacement(found: re.Match[str]) -> str:
    return " " if _SPACES.match(found[0]) else ""
