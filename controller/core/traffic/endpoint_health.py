"""How many endpoints of a version the proxies may send to."""

from typing import NamedTuple


class EndpointHealth(NamedTuple):
    """The endpoints of a version, as the proxies see them, each for itself.

    `fewest` is the least number of healthy ones that a proxy has, `most` the largest, `total` how many there are,
    healthy or not. `proxies` is how many report on the version.
    """

    fewest: int
    most: int
    total: int
    proxies: int

    @property
    def is_lacking(self) -> bool:
        """Whether some proxy has no healthy endpoint of it."""
        return self.fewest == 0

    @property
    def is_none(self) -> bool:
        """Whether it is known to have none: a proxy that has the version says so, and no other denies it."""
        return self.proxies > 0 and self.most == 0
