"""What proxies refused, remembered beyond their streams: each refusal is told once, the last one is shown."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from controller.ports.fleet import Nack

K = TypeVar("K")
V = TypeVar("V")


class Refusals:
    """The latest refusals of all proxies; of those beyond `most` the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self._last: OrderedDict[tuple[str, str], Nack] = OrderedDict()

    def take(self, node: str, fleet: str, nack: Nack, contents: Iterable[str]) -> bool:
        """Remember that: whether any of these contents is one that this proxy had not refused before."""
        self._keep(self._last, (node, fleet), nack)
        keys = [(node, fleet, nack.type_url, content) for content in contents]
        news = any(key not in self._known for key in keys)
        for key in keys:
            self._keep(self._known, key, None)
        return news

    def last(self, node: str, fleet: str) -> Nack | None:
        """What that proxy refused last, if it ever did."""
        return self._last.get((node, fleet))

    def _keep(self, into: OrderedDict[K, V], key: K, value: V) -> None:
        into[key] = value
        into.move_to_end(key)
        if len(into) > self._most:
            into.popitem(last=False)
