"""A table that fits its width: it leaves out whole columns and shortens names, and never cuts a
figure. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from controller.core.base.text import clean

SHORTEST_NAME = 8
"""Characters that a long name keeps before a column is left out."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a row is about: a name, which may be shortened, and what follows it, which may not."""

    name: str
    suffix: str = ""
    style: str = ""
    suffix_style: str = ""

    def fit(self, width: int) -> Text:
        """The label in at most `width` characters where the suffix leaves room for that."""
        room = max(1, width - len(self.suffix))
        return Text.assemble((clip_name(self.name, room), self.style), (self.suffix, self.suffix_style))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures.

    Of several columns the one with the lowest `rank` is left out first; rank 0 always stays.
    """

    header: str
    cells: Sequence[Text]
    rank: int = 0
    width: int = 0
    """Characters at least, so that the figures stand still while they change."""
    right: bool = True

    @property
    def total(self) -> int:
        """Characters that it takes."""
        return max(self.width, len(self.header), *(len(cell) for cell in self.cells))


def clip_name(name: str, room: int) -> str:
    """A name in at most `room` characters."""
    return clean(name) if len(name) <= room else f"{clean(name[: room - 1])}…"


def clip_line(line: Text, width: int) -> Text:
    """A line of text in at most `width` characters, cut between two words."""
    if len(line) <= width:
        return line
    clipped = line.copy()
    clipped.right_crop(len(line) - width + 1)
    clipped.right_crop(len(clipped) - (clipped.plain.rfind(" ") if " " in clipped.plain else len(clipped)))
    return clipped.append("…")


def fitted_table(header: str, labels: Sequence[Label], columns: Sequence[Column], width: int, gap: int = 2) -> Text:
    """The table as lines of text, with as many of the columns as fit into `width` characters."""
    kept = _fitting(header, labels, columns, width, gap)
    natural = max(len(header), *(len(label.name) + len(label.suffix) for label in labels))
    first = max(1, min(natural, width - _figures(kept, gap)))
    lines = [_line(Text(header), first, [Text(column.header) for column in kept], kept, gap)]
    lines[0].stylize("dim")
    for number, label in enumerate(labels):
        lines.append(_line(label.fit(first), first, [column.cells[number] for column in kept], kept, gap))
    return Text("\n").join(lines)


def _fitting(header: str, labels: Sequence[Label], columns: Sequence[Column], width: int, gap: int) -> list[Column]:
    """The columns that fit beside the labels at their shortest; always those of rank 0."""
    shortest = max(len(header), *(min(len(label.name), SHORTEST_NAME) + len(label.suffix) for label in labels))
    ranks = sorted({column.rank for column in columns if column.rank})
    kept = list(columns)
    for rank in ranks:
        if shortest + _figures(kept, gap) <= width:
            break
        kept = [column for column in kept if column.rank != rank]
    return kept


def _figures(columns: Sequence[Column], gap: int) -> int:
    return sum(gap + column.total for column in columns)


def _line(label: Text, first: int, cells: Sequence[Text], columns: Sequence[Column], gap: int) -> Text:
    line = label.copy()
    line.pad_right(max(0, first - len(label)))
    for cell, column in zip(cells, columns, strict=True):
        space = column.total - len(cell)
        line.append(" " * (gap + (space if column.right else 0))).append_text(cell)
        line.append("" if column.right else " " * space)
    line.rstrip()
    return line
