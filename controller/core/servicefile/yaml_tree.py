"""YAML text -> a tree that remembers its lines, from a small, safe part of YAML.

Refused: anchors, aliases, tags and merge keys (a file of ten lines must not grow to gigabytes, nor name a class),
duplicate keys, keys that are not plain text, a second document, depth above 20, more than 256 KiB.
No loader of YAML runs here, only its parser: nothing is ever constructed from what the text says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.core.base.errors import Violation

MAX_BYTES = 256 * 1024
"""Of a service file. Twenty versions with a thousand endpoints each are far above what one service needs."""
MAX_DEPTH = 20
"""Of nesting. A service file has five levels."""

PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, which is some twenty times faster, or PyYAML's own where it was built without."""

_TYPES = yaml.resolver.Resolver()
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written. `type` is what YAML takes it for: str, int, float, bool, null, timestamp, ..."""

    text: str
    type: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: "list[Node]"
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in a mapping, and the line of its key."""

    node: "Node"
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the text."""

    entries: dict[str, Entry]
    line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands where something was that has been reported already."""

    line: int


Node = Scalar | Items | Table | Refused


class Broken(Exception):  # noqa: N818
    """The text cannot be read any further."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


def read_tree(text: str, parser: Any = PARSER) -> tuple[Node | None, list[Violation]]:
    """The tree of the text's only document (None if there is none to be had) and what is wrong with its form."""
    builder = _Builder()
    try:
        for event in _events(text, parser):
            builder.take(event)
    except Broken as broken:
        return None, [*builder.found, broken.violation]
    return builder.root, builder.found


def shown(text: str) -> str:
    """A piece of somebody's text, quoted and bounded, for a message."""
    return repr(_short(text))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _events(text: str, parser: Any) -> Iterator[yaml.Event]:
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise Broken(Violation("", f"a service file has at most {MAX_BYTES // 1024} KiB", 1))
    wrong = _UNPRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise Broken(Violation("", f"the character {wrong[0]!a} has no place in a text", line))
    try:
        yield from yaml.parse(text, Loader=parser)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and _is_tab(text, mark):
            words = f"a tab in column {mark.column + 1}: tabs are not allowed for indentation, use spaces"
            raise Broken(Violation("", words, mark.line + 1)) from error
        told = ", ".join(part for part in (error.context, error.problem) if part)
        # What ends too early is wrong where it ends, not on the empty lines after that.
        last = len(text.rstrip().splitlines()) or 1
        line = min(mark.line + 1, last) if mark else 1
        raise Broken(Violation("", f"not valid YAML: {told}", line)) from error
    except yaml.YAMLError as error:
        raise Broken(Violation("", f"not valid YAML: {error}", 1)) from error


def _is_tab(text: str, mark: yaml.Mark) -> bool:
    lines = text.splitlines()
    return mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t"


@dataclass(slots=True)
class _Open:
    """A list or mapping under construction. `key` is set while a mapping waits for its value, and `keeps` says whether
    that value will be kept: it is dropped where the key is refused."""

    node: Items | Table
    path: str
    key: Scalar | None = None
    keeps: bool = True


@dataclass(slots=True)
class _Builder:
    """Builds the tree event by event, without recursion: depth is a number here, not the stack of Python."""

    root: Node | None = None
    found: list[Violation] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise Broken(Violation("", "a service file holds one document; a second one begins here", line))
            case yaml.AliasEvent():
                self._report(
                    f"aliases such as {_short('*' + (event.anchor or ''))} are not supported: write the value out", line
                )
                self._put(Refused(line))
            case yaml.ScalarEvent():
                self._check_plain(event, line)
                self._put(Scalar(event.value, _type_of(event), line))
            case yaml.SequenceStartEvent():
                self._check_plain(event, line)
                self._enter(Items([], line))
            case yaml.MappingStartEvent():
                self._check_plain(event, line)
                self._enter(Table({}, line))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._put(self._open.pop().node)

    def _enter(self, node: Items | Table) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise Broken(Violation("", f"nested deeper than {MAX_DEPTH} levels", node.line))
        self._open.append(_Open(node, self._path()))

    def _put(self, node: Node) -> None:
        """A finished node goes to its place: the root, the next item, the next key or the value of the last key."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node, Items):
            parent.node.nodes.append(node)
        elif parent.key is None:
            key = node if isinstance(node, Scalar) else Scalar("", "none", node.line)
            parent.keeps = self._check_key(parent.node, key, node)
            parent.key = key
        else:
            key, parent.key = parent.key, None
            if parent.keeps:
                parent.node.entries[key.text] = Entry(node, key.line)

    def _check_key(self, table: Table, key: Scalar, node: Node) -> bool:
        """Whether the key is a good one: plain text, and the first of its name."""
        if key.type == "merge":
            self._report("merge keys (<<) are not supported: write the keys out", key.line)
        elif key.type == "none":
            if not isinstance(node, Refused):
                self._report("a key is plain text, not a list or a mapping", key.line)
        elif key.type != "str":
            self._report(f"a key is text, and YAML takes {shown(key.text)} for {a_type(key)}: quote it", key.line)
        elif key.text in table.entries:
            before = table.entries[key.text].line
            where = joined(self._path(), key.text)
            self.found.append(Violation(where, f"duplicate, first on line {before}", key.line))
        else:
            return True
        return False

    def _check_plain(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if event.anchor is not None:
            self._report(f"anchors such as {_short('&' + event.anchor)} are not supported: write the value out", line)
        if event.tag is not None:
            self._report(f"tags such as {shown(event.tag)} are not supported: write the plain value", line)

    def _report(self, message: str, line: int) -> None:
        self.found.append(Violation(self._path(), message, line))

    def _path(self) -> str:
        """Where the next node goes."""
        if not self._open:
            return ""
        parent = self._open[-1]
        if isinstance(parent.node, Items):
            return f"{parent.path}[{len(parent.node.nodes)}]"
        return joined(parent.path, parent.key.text) if parent.key else parent.path


def joined(path: str, key: str) -> str:
    """The path of a key under a path. Keys that are no names are shown quoted and bounded."""
    plain = key if re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", key) else shown(key)
    return f"{path}.{plain}" if path else plain


_A = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "value": "a default",
    "merge": "a merge key",
}
"""YAML's types in words."""


def a_type(scalar: Scalar) -> str:
    """What YAML takes a scalar for, in words."""
    return _A.get(scalar.type, "text")


def _type_of(event: yaml.ScalarEvent) -> str:
    plain = not event.style  # libyaml says '', PyYAML None
    tag = _TYPES.resolve(yaml.ScalarNode, event.value, (plain, not plain))  # type: ignore[no-untyped-call]
    return str(tag).rpartition(":")[2]
