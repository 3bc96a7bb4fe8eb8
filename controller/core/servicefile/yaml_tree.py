"""YAML text -> a tree that remembers its lines, from a small, safe part of YAML.

InvalidNode: anchors, aliases, tags and merge keys (a file of ten lines must not grow to gigabytes, nor name a class),
duplicate keys, keys that are not plain text, a second document, depth above 20, more than 256 KiB.
No loader of YAML runs here, only its parser: nothing is ever constructed from what the text says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.core.base.errors import Violation
from controller.core.base.text import find_unsafe

MAX_BYTES = 256 * 1024
"""Of a service file. One service needs far less than twenty versions with a thousand endpoints each."""
MAX_DEPTH = 20
"""Of nesting. A service file has five levels."""
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, about twenty times faster, or PyYAML's own if it was built without libyaml."""

_TYPES = yaml.resolver.Resolver()
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTED_LENGTH = 40


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value as written. `type` is YAML's type for it: str, int, float, bool, null, timestamp, ..."""

    text: str
    type: str
    line: int


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    nodes: "list[Node]"
    line: int


@dataclass(frozen=True, slots=True)
class KeyedNode:
    """A value in a mapping, and the line of its key."""

    node: "Node"
    line: int


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping, in the order of the text."""

    entries: dict[str, KeyedNode]
    line: int


@dataclass(frozen=True, slots=True)
class InvalidNode:
    """Replaces a node that has been reported already."""

    line: int


Node = ScalarNode | SequenceNode | MappingNode | InvalidNode


class MalformedText(Exception):  # noqa: N818
    """The rest of the text cannot be parsed. `violation` says why."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


def read_tree(text: str, parser: Any = PARSER) -> tuple[Node | None, list[Violation]]:
    """The tree of the text's only document, None if it cannot be parsed, and the violations of its form."""
    builder = _Builder()
    try:
        for event in _events(text, parser):
            builder.handle(event)
    except MalformedText as error:
        return None, [*builder.violations, error.violation]
    return builder.root, builder.violations


def quoted(text: str) -> str:
    """A piece of foreign text for a message: quoted, and cut to a bounded length."""
    return repr(_shorten(text))


def _shorten(text: str) -> str:
    return text if len(text) <= _QUOTED_LENGTH else text[: _QUOTED_LENGTH - 3] + "..."


def _events(text: str, parser: Any) -> Iterator[yaml.Event]:
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise MalformedText(Violation("", f"a service file has at most {MAX_BYTES // 1024} KiB", 1))
    wrong = _UNPRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise MalformedText(Violation("", f"the character {wrong[0]!a} is not allowed", line))
    try:
        yield from yaml.parse(text, Loader=parser)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and _is_tab(text, mark):
            message = f"a tab in column {mark.column + 1}: tabs are not allowed for indentation, use spaces"
            raise MalformedText(Violation("", message, mark.line + 1)) from error
        if mark and "nesting depth" in (error.problem or ""):  # libyaml's own bound, a higher one
            raise MalformedText(Violation("", TOO_DEEP, mark.line + 1)) from error
        message = ", ".join(part for part in (error.context, error.problem) if part)
        # A text that ends too early is wrong where it ends, not on the empty lines after that.
        last = len(text.rstrip().splitlines()) or 1
        line = min(mark.line + 1, last) if mark else 1
        raise MalformedText(Violation("", f"not valid YAML: {message}", line)) from error
    except yaml.YAMLError as error:
        raise MalformedText(Violation("", f"not valid YAML: {error}", 1)) from error


def _is_tab(text: str, mark: yaml.Mark) -> bool:
    lines = text.splitlines()
    return mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t"


@dataclass(slots=True)
class _Open:
    """A list or mapping under construction. `key` is set while a mapping waits for its value. `keeps` says whether that
    value is kept: the value of a rejected key is dropped."""

    node: SequenceNode | MappingNode
    path: str
    key: ScalarNode | None = None
    keeps: bool = True


@dataclass(slots=True)
class _Builder:
    """Builds the tree event by event without recursion, so that depth is bounded here and not by Python's stack."""

    root: Node | None = None
    violations: list[Violation] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def handle(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise MalformedText(
                        Violation("", "a service file holds one document; a second one begins here", line)
                    )
            case yaml.AliasEvent():
                self._report(
                    f"aliases such as {_shorten('*' + (event.anchor or ''))} are not supported: write the value out",
                    line,
                )
                self._put(InvalidNode(line))
            case yaml.ScalarEvent():
                self._check_plain(event, line)
                self._put(self._scalar(event, line))
            case yaml.SequenceStartEvent():
                self._check_plain(event, line)
                self._enter(SequenceNode([], line))
            case yaml.MappingStartEvent():
                self._check_plain(event, line)
                self._enter(MappingNode({}, line))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._put(self._open.pop().node)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        """The value; an `InvalidNode` if it has characters that cannot be seen, or change how others are shown."""
        unsafe = find_unsafe(event.value)
        if not unsafe:
            return ScalarNode(event.value, _type_of(event), line)
        self._report(f"the character {unsafe!a} is not allowed in a value: it cannot be seen", line)
        return InvalidNode(line)

    def _enter(self, node: SequenceNode | MappingNode) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise MalformedText(Violation("", TOO_DEEP, node.line))
        self._open.append(_Open(node, self._path()))

    def _put(self, node: Node) -> None:
        """Put a finished node in its place: the root, the next item, the next key or the value of the last key."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node, SequenceNode):
            parent.node.nodes.append(node)
        elif parent.key is None:
            key = node if isinstance(node, ScalarNode) else ScalarNode("", "none", node.line)
            parent.keeps = self._check_key(parent.node, key, node)
            parent.key = key
        else:
            key, parent.key = parent.key, None
            if parent.keeps:
                parent.node.entries[key.text] = KeyedNode(node, key.line)

    def _check_key(self, table: MappingNode, key: ScalarNode, node: Node) -> bool:
        """Whether the key is valid: plain text, and the first of its name."""
        if key.type == "merge":
            self._report("merge keys (<<) are not supported: write the keys out", key.line)
        elif key.type == "none":
            if not isinstance(node, InvalidNode):
                self._report("a key is plain text, not a list or a mapping", key.line)
        elif key.type != "str":
            self._report(
                f"a key is text, and YAML takes {quoted(key.text)} for {describe_type(key)}: quote it", key.line
            )
        elif key.text in table.entries:
            before = table.entries[key.text].line
            where = join_path(self._path(), key.text)
            self.violations.append(Violation(where, f"duplicate, first on line {before}", key.line))
        else:
            return True
        return False

    def _check_plain(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if event.anchor is not None:
            self._report(f"anchors such as {_shorten('&' + event.anchor)} are not supported: write the value out", line)
        if event.tag is not None:
            self._report(f"tags such as {quoted(event.tag)} are not supported: write the plain value", line)

    def _report(self, message: str, line: int) -> None:
        self.violations.append(Violation(self._path(), message, line))

    def _path(self) -> str:
        """The path of the next node."""
        if not self._open:
            return ""
        parent = self._open[-1]
        if isinstance(parent.node, SequenceNode):
            return f"{parent.path}[{len(parent.node.nodes)}]"
        return join_path(parent.path, parent.key.text) if parent.key else parent.path


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def join_path(path: str, key: str) -> str:
    """The path of a key under a path. Keys that are not names are quoted and bounded."""
    plain = key if _PLAIN_KEY.fullmatch(key) else quoted(key)
    return f"{path}.{plain}" if path else plain


_TYPE_NAMES = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "value": "a default",
    "merge": "a merge key",
}
"""YAML's types in words."""


def describe_type(scalar: ScalarNode) -> str:
    """YAML's type of a scalar, in words."""
    return _TYPE_NAMES.get(scalar.type, "text")


def _type_of(event: yaml.ScalarEvent) -> str:
    plain = not event.style  # libyaml says '', PyYAML None
    tag = _TYPES.resolve(yaml.ScalarNode, event.value, (plain, not plain))  # type: ignore[no-untyped-call]
    return str(tag).rpartition(":")[2]
