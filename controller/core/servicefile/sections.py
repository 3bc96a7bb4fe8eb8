"""A tree of YAML read key by key: what is wrong is reported with its path and line, and reading goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import LiteralString, TypeVar

from controller.core.base.errors import Violation
from controller.core.base.units import counted
from controller.core.servicefile.yaml_tree import Entry, Items, Node, Refused, Scalar, Table, a_type, joined, shown

T = TypeVar("T")
D = TypeVar("D")
W = TypeVar("W", bound=LiteralString)

MAX_VIOLATIONS = 100
"""Told at once. Who has more has not written a service file."""


@dataclass(slots=True)
class Report:
    """What was found wrong so far, and the lines of what has been read."""

    found: list[Violation]
    lines: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, message: str, line: int = 0) -> None:
        """A violation; without a line, at that of the field."""
        self.found.append(Violation(path, message, line or self.lines.get(path, 1)))

    def clean(self, *paths: str) -> bool:
        """Whether nothing is wrong with these fields and what is in them, so that their values mean something."""
        within = tuple(path + mark for path in paths for mark in ".[")
        return not any(v.field in paths or v.field.startswith(within) for v in self.found)

    def all(self) -> tuple[Violation, ...]:
        """By line; of very many, the first ones and a count of the rest."""
        found = sorted(self.found, key=lambda violation: violation.line)
        if len(found) <= MAX_VIOLATIONS:
            return tuple(found)
        rest = Violation(
            "", f"and {counted(len(found) - MAX_VIOLATIONS, 'violation')} more", found[MAX_VIOLATIONS].line
        )
        return (*found[:MAX_VIOLATIONS], rest)


@dataclass(slots=True)
class Section:
    """One mapping of the file, read key by key; what is wrong with a value is reported and a default stands in.

    `there` is false for the empty section that stands in for one that is missing or no mapping.
    """

    report: Report
    path: str
    table: Table
    there: bool = True
    taken: list[str] = field(default_factory=list)

    def at(self, key: str) -> str:
        """The key's path."""
        return joined(self.path, key)

    def node(self, key: str) -> Node | None:
        """What stands under the key, if anything."""
        self.taken.append(key)
        entry: Entry | None = self.table.entries.get(key)
        self.report.lines[self.at(key)] = entry.line if entry else self.table.line
        return entry.node if entry else None

    def require(self, *keys: str) -> None:
        """Report the keys that are missing."""
        for key in keys:
            if self.there and key not in self.table.entries:
                self.report.add(self.at(key), "is missing", self.table.line)

    def value(self, key: str, read: Callable[[str], T], default: D, *, text: bool = False, null: bool = False) -> T | D:
        """A single value. `text`: numbers and the like must be quoted; `null`: may be null, which is the default."""
        node = self.node(key)
        if node is None or (null and isinstance(node, Scalar) and node.type == "null"):
            return default
        return _read_value(self.report, self.at(key), node, read, default, text=text)

    def values(
        self, key: str, read: Callable[[str], T], default: Sequence[T], most: int, *, text: bool
    ) -> tuple[T, ...]:
        """A list of single values, at most so many."""
        node, path = self.node(key), self.at(key)
        if node is None or isinstance(node, Refused):
            return tuple(default)
        if not isinstance(node, Items):
            self.report.add(path, f"a list is needed, such as [...], not {_told(node)}")
            return tuple(default)
        if len(node.nodes) > most:
            self.report.add(path, f"at most {most} entries, not {len(node.nodes)}")
            return tuple(default)
        found = []
        for i, item in enumerate(node.nodes):
            self.report.lines[f"{path}[{i}]"] = item.line
            found.append(_read_value(self.report, f"{path}[{i}]", item, read, None, text=text))
        return tuple(entry for entry in found if entry is not None)

    def section(self, key: str) -> "Section":
        """A mapping under the key; an empty one stands in if there is none."""
        node, path = self.node(key), self.at(key)
        if isinstance(node, Table):
            return Section(self.report, path, node)
        if node is not None and not isinstance(node, Refused):
            self.report.add(path, f"a mapping is needed, not {_told(node)}")
        return Section(self.report, path, Table({}, self.report.lines[path]), there=False)

    def sections(self, key: str, most: int) -> "list[Section]":
        """A list of mappings under the key, at most so many; empty if there is none."""
        node, path = self.node(key), self.at(key)
        if node is None or isinstance(node, Refused):
            return []
        if not isinstance(node, Items) or len(node.nodes) > most:
            told = f"at most {most} entries" if isinstance(node, Items) else f"a list is needed, not {_told(node)}"
            self.report.add(path, told)
            return []
        found = []
        for i, item in enumerate(node.nodes):
            self.report.lines[f"{path}[{i}]"] = item.line
            if isinstance(item, Table):
                found.append(Section(self.report, f"{path}[{i}]", item))
            elif not isinstance(item, Refused):
                self.report.add(f"{path}[{i}]", f"a mapping is needed, not {_told(item)}")
        return found

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        unknown = [key for key in self.table.entries if key not in self.taken]
        for number, key in enumerate(unknown):
            # Hints take time, and nobody is told of more than so many violations.
            hint = self._hint(key) if number < MAX_VIOLATIONS else ""
            self.report.add(self.at(key), f"unknown key{hint}", self.table.entries[key].line)

    def _hint(self, key: str) -> str:
        near = get_close_matches(key[:64].lower(), self.taken, 1)
        return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(self.taken))}"


def _read_value(report: Report, path: str, node: Node, read: Callable[[str], T], default: D, *, text: bool) -> T | D:
    if isinstance(node, Refused):
        return default
    if not isinstance(node, Scalar):
        report.add(path, f"a single value is needed, not {_told(node)}")
    elif node.type == "null" and not node.text.strip("~"):
        report.add(path, "is empty: give it a value or leave it out")
    elif text and node.type != "str":
        report.add(path, f"text is needed, and YAML takes {shown(node.text)} for {a_type(node)}: quote it")
    else:
        try:
            return read(node.text)
        except ValueError as error:
            report.add(path, str(error))
    return default


def _told(node: Node) -> str:
    match node:
        case Scalar(type="null"):
            return "nothing"
        case Scalar():
            return shown(node.text)
        case Items():
            return "a list"
        case _:
            return "a mapping"


def one_of(*words: W) -> Callable[[str], W]:
    """The rule for one of some words."""

    def read(text: str) -> W:
        for word in words:
            if word == text:
                return word
        raise ValueError(f"one of {', '.join(words)} is needed, not {shown(text)}")

    return read
