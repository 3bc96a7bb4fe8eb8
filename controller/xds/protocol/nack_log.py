"""The NACKs of proxies, remembered beyond their streams: each is reported once, the last one is shown."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from controller.ports.fleet import Nack

K = TypeVar("K")
V = TypeVar("V")


class NackLog:
    """The latest NACKs of all proxies; beyond `limit` of them, the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self._last: OrderedDict[tuple[str, str], Nack] = OrderedDict()

    def record(self, node: str, fleet: str, nack: Nack, contents: Iterable[str]) -> bool:
        """Record a NACK of these content hashes. Returns whether any of them is new for this proxy."""
        self._put(self._last, (node, fleet), nack)
        keys = [(node, fleet, nack.type_url, content) for content in contents]
        is_new = any(key not in self._known for key in keys)
        for key in keys:
            self._put(self._known, key, None)
        return is_new

    def last(self, node: str, fleet: str) -> Nack | None:
        """The last NACK of that proxy; None if there was none."""
        return self._last.get((node, fleet))

    def _put(self, into: OrderedDict[K, V], key: K, value: V) -> None:
        into[key] = value
        into.move_to_end(key)
        if len(into) > self._limit:
            into.popitem(last=False)
