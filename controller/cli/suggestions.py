"""Suggestions for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the most similar of the known words; empty if none is similar, or the
    word is one."""
    names = list(known)
    close = [] if word in names else get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else ""
