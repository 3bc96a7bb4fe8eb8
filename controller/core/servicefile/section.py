"""One mapping of a service file, read key by key. A wrong value is reported with its path and line; reading goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

from controller.core.servicefile.violation_report import MAX_VIOLATIONS, ViolationReport
from controller.core.servicefile.yaml_tree import (
    InvalidNode,
    KeyedNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    describe_type,
    join_path,
    quoted,
)

T = TypeVar("T")
D = TypeVar("D")


@dataclass(slots=True)
class Section:
    """One mapping of the file, read key by key. A wrong value is reported and replaced by the default.

    `present` is false for the empty section that replaces a missing one, or a value that is not a mapping.
    """

    report: ViolationReport
    path: str
    mapping: MappingNode
    present: bool = True
    read_keys: list[str] = field(default_factory=list)

    def path_of(self, key: str) -> str:
        """The path of the key from the top of the file."""
        return join_path(self.path, key)

    def node(self, key: str) -> Node | None:
        """The node under the key, or None. Marks the key as known and notes its line."""
        self.read_keys.append(key)
        entry: KeyedNode | None = self.mapping.entries.get(key)
        self.report.lines[self.path_of(key)] = entry.line if entry else self.mapping.line
        return entry.node if entry else None

    def require(self, *keys: str) -> None:
        """Report the keys that are missing."""
        for key in keys:
            if self.present and key not in self.mapping.entries:
                self.report.add(self.path_of(key), "is missing", self.mapping.line)

    def value(self, key: str, read: Callable[[str], T], default: D, *, text: bool = False, null: bool = False) -> T | D:
        """The single value under the key, or `default`.

        `read` turns its text into a value and raises ValueError with what would be right. `text`: a value that YAML
        reads as a number, date or boolean must be quoted. `null`: null is allowed and means the default.
        """
        node = self.node(key)
        if node is None or (null and isinstance(node, ScalarNode) and node.type == "null"):
            return default
        return _read_value(self.report, self.path_of(key), node, read, default, text=text)

    def values(
        self, key: str, read: Callable[[str], T], default: Sequence[T], most: int, *, text: bool
    ) -> tuple[T, ...]:
        """The list of single values under the key, or `default`; a list longer than `most` is a violation."""
        nodes = self._items(key, most)
        if nodes is None:
            return tuple(default)
        values = [_read_value(self.report, path, node, read, None, text=text) for path, node in nodes]
        return tuple(value for value in values if value is not None)

    def values_or_sections(
        self, key: str, read: Callable[[str], T], read_section: "Callable[[Section], T | None]", most: int
    ) -> tuple[T, ...]:
        """The list of texts and mappings under the key; empty if there is none."""
        values = []
        for path, node in self._items(key, most) or ():
            if isinstance(node, MappingNode):
                values.append(read_section(Section(self.report, path, node)))
            else:
                values.append(_read_value(self.report, path, node, read, None, text=True))
        return tuple(value for value in values if value is not None)

    def _items(self, key: str, most: int) -> list[tuple[str, Node]] | None:
        """The entries of the list under the key, each with its path, its line noted; None if there is no valid list."""
        node, path = self.node(key), self.path_of(key)
        if node is None or isinstance(node, InvalidNode):
            return None
        if not isinstance(node, SequenceNode):
            self.report.add(path, f"a list is needed, such as [...], not {_describe_node(node)}")
            return None
        if len(node.nodes) > most:
            self.report.add(path, f"at most {most} entries, not {len(node.nodes)}")
            return None
        items = [(f"{path}[{i}]", item) for i, item in enumerate(node.nodes)]
        self.report.lines |= {where: item.line for where, item in items}
        return items

    def one_or_more(self, key: str, read: Callable[[str], T], most: int) -> tuple[T, ...]:
        """The text under the key, or the list of texts; empty if there is neither. An empty list is a violation."""
        entry = self.mapping.entries.get(key)
        if not entry or not isinstance(entry.node, SequenceNode):
            value = self.value(key, read, None, text=True)
            return () if value is None else (value,)
        if not entry.node.nodes:
            self.report.add(self.path_of(key), "an empty list matches nothing: omit the key", entry.line)
        return self.values(key, read, (), most, text=True)

    def section(self, key: str) -> "Section":
        """The mapping under the key; an empty one that is not `present` if there is none."""
        node, path = self.node(key), self.path_of(key)
        if isinstance(node, MappingNode):
            return Section(self.report, path, node)
        if node is not None and not isinstance(node, InvalidNode):
            self.report.add(path, _needed("a mapping", node))
        return Section(self.report, path, MappingNode({}, self.report.lines[path]), present=False)

    def sections(self, key: str, most: int) -> "list[Section]":
        """The list of mappings under the key, or []; a list longer than `most` is a violation."""
        node, path = self.node(key), self.path_of(key)
        if node is None or isinstance(node, InvalidNode):
            return []
        if not isinstance(node, SequenceNode) or len(node.nodes) > most:
            is_list = isinstance(node, SequenceNode)
            self.report.add(path, f"at most {most} entries" if is_list else _needed("a list", node))
            return []
        sections = []
        for i, item in enumerate(node.nodes):
            self.report.lines[f"{path}[{i}]"] = item.line
            if isinstance(item, MappingNode):
                sections.append(Section(self.report, f"{path}[{i}]", item))
            elif not isinstance(item, InvalidNode):
                self.report.add(f"{path}[{i}]", _needed("a mapping", item))
        return sections

    def close(self) -> None:
        """Report the keys that were never read."""
        unknown = [key for key in self.mapping.entries if key not in self.read_keys]
        for number, key in enumerate(unknown):
            # A hint is slow to compute, and violations beyond the limit are only counted.
            hint = self._hint(key) if number < MAX_VIOLATIONS else ""
            self.report.add(self.path_of(key), f"unknown key{hint}", self.mapping.entries[key].line)

    def _hint(self, key: str) -> str:
        near = get_close_matches(key[:64].lower(), self.read_keys, 1)
        return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(self.read_keys))}"


def _read_value(
    report: ViolationReport, path: str, node: Node, read: Callable[[str], T], default: D, *, text: bool
) -> T | D:
    if isinstance(node, InvalidNode):
        return default
    if not isinstance(node, ScalarNode):
        report.add(path, _needed("a single value", node))
    elif node.type == "null" and not node.text.strip("~"):
        report.add(path, "is empty: give it a value or leave it out")
    elif text and node.type != "str":
        report.add(path, f"text is needed, and YAML takes {quoted(node.text)} for {describe_type(node)}: quote it")
    else:
        try:
            return read(node.text)
        except ValueError as error:
            report.add(path, str(error))
    return default


def _needed(what: str, node: Node) -> str:
    return f"{what} is needed, not {_describe_node(node)}"


def _describe_node(node: Node) -> str:
    match node:
        case ScalarNode(type="null"):
            return "nothing"
        case ScalarNode():
            return quoted(node.text)
        case SequenceNode():
            return "a list"
        case _:
            return "a mapping"
