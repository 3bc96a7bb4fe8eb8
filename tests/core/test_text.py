"""Text that others send: nothing in it may rewrite a terminal, reorder a line, or be there unseen."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.base.text import clean, clean_lines, clean_values, find_unsafe, is_disturbing, is_printable
from tests.support.unsafe_text import UNSAFE, unsafe_texts

VISIBLE_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
"""Format characters (Cf) that are drawn: signs before Arabic and Kaithi numbers, and joiners of hieroglyphs."""


def test_every_control_format_and_separator_of_unicode_is_taken_out() -> None:
    """Unicode's own data names the characters, those of a newer Unicode than ours too; but those that are drawn."""
    kept = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and code not in VISIBLE_FORMATS
        if clean(f"a{chr(code)}b") not in ("ab", "a b")
    ]
    assert kept == []


@pytest.mark.parametrize("code", [0x202E, 0x2067, 0x200B, 0x200D, 0x200F, 0x61C, 0xFEFF, 0x2060, 0xAD, 0x3164, 0xE0041])
def test_what_reorders_or_cannot_be_seen_leaves_nothing_behind(code: int) -> None:
    """No space either: there was none to be seen."""
    assert clean(f"a{chr(code)}b") == clean_lines(f"a{chr(code)}b") == "ab"
    assert not is_printable(f"a{chr(code)}b")


@pytest.mark.parametrize(
    "text", ["שלום עולם", "مرحبا ٠١٢", "naïve café", "日本語", "🙂 ❤️ v2", "ложь", "क्षत्रिय", "a\u00a0b"]
)
def test_other_writing_stays(text: str) -> None:
    """Letters from right to left, marks, and an emoji's form (U+FE0F) are text."""
    assert clean(text) == clean_lines(text) == text
    assert not find_unsafe(text)
    assert not is_disturbing(text)


def test_lines_and_tabs_stay_only_where_lines_do() -> None:
    """One line has a space for each; a text of lines keeps both."""
    assert clean("a\n\tb\r\nc\u2028d\x85e") == "a  b  c d e"
    assert clean_lines("a\n\tb\r\nc\u2028d\x85e") == "a\n\tb \nc d e"


@given(unsafe_texts())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """What was cleaned has none of them, and stays."""
    for cleaned, once in ((clean, clean(text)), (clean_lines, clean_lines(text))):
        assert not UNSAFE.search(once.replace("\n", "").replace("\t", ""))
        assert cleaned(once) == once
    assert not find_unsafe(clean_lines(text))
    assert not is_disturbing(clean(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | unsafe_texts(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unsafe_texts(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_values_are_clean_at_every_depth(value: object) -> None:
    """Keys and values, in lists and in objects; the rest stays as it is."""
    assert not UNSAFE.search(repr_of(clean_values(value)))


def repr_of(value: object) -> str:
    """Every text within the value, joined."""
    if isinstance(value, dict):
        return "".join(repr_of(key) + repr_of(inner) for key, inner in value.items())
    if isinstance(value, list):
        return "".join(map(repr_of, value))
    return value.replace("\n", "").replace("\t", "") if isinstance(value, str) else ""
