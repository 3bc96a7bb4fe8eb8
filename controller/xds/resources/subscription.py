"""What a client is subscribed to, of one type on one stream: names, or everything ("*"), or both."""

from collections.abc import Iterable
from typing import NamedTuple

WILDCARD = "*"


class Subscription(NamedTuple):
    """The subscribed names. `explicit` once any name was given: from then on, an empty list is no wildcard.

    Source: Envoy's xDS protocol, "How the client specifies what resources to return".
    """

    names: frozenset[str] = frozenset()
    wildcard: bool = False
    explicit: bool = False

    def covers(self, name: str) -> bool:
        """Whether the client is subscribed to the resource of that name."""
        return self.wildcard or name in self.names

    def listing(self, names: Iterable[str], *, empty_is_all: bool) -> "Subscription":
        """State of the world: each request has the full list of names."""
        given = frozenset(names)
        if not given and not self.explicit:
            return Subscription(wildcard=empty_is_all)
        return Subscription(given - {WILDCARD}, WILDCARD in given, explicit=True)

    def changing(
        self, subscribe: Iterable[str], unsubscribe: Iterable[str], *, first: bool, empty_is_all: bool
    ) -> "Subscription":
        """Delta: names to add, then names to remove. A first request without names is a wildcard."""
        added, taken = frozenset(subscribe), frozenset(unsubscribe)
        silent = first and not added
        wildcard = self.wildcard or WILDCARD in added or (silent and empty_is_all)
        return Subscription(
            names=(self.names | added) - taken - {WILDCARD},
            wildcard=wildcard and WILDCARD not in taken,
            explicit=self.explicit or bool(added),
        )


NO_NAMES = Subscription()
"""The subscription of a client before its first request."""
