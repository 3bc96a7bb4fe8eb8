"""The state of one xDS stream, as values: a lane for each resource type, independent but for the gates.

Named tuples, because each step to each stream makes several anew.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from controller.xds.snapshot import NOTHING, Resource, Resources, Snapshot
from controller.xds.subscription import NO_NAMES, Subscription


class Pending(NamedTuple):
    """The one response of a lane that is not yet answered.

    `after` is what the client has if it accepts. `snapshot` is the one it was made of; there may be a newer one now.
    """

    nonce: str
    version: str
    after: Resources
    carried: tuple[Resource, ...]
    snapshot: Snapshot


class Lane(NamedTuple):
    """One type on one stream."""

    subscription: Subscription = NO_NAMES
    held: Resources = NOTHING
    """What the client has accepted, as far as this stream knows."""
    pending: Pending | None = None
    nonce: str = ""
    """Of the newest response; empty before the first."""
    owed: frozenset[str] = frozenset()
    """Names that must be sent though the client may have them: newly asked for, or their cluster changed."""
    due: bool = False
    """Whether an answer is due even if there is nothing to send."""
    brought: str = ""
    """The newest version that the client came with, until the first response."""
    refused: frozenset[str] = frozenset()
    """Contents that the client refused; never sent again."""
    rejected: Resources | None = None
    """What the client would have if it had accepted the response it refused last."""
    error: str = ""
    acknowledged: str = ""
    """The version that the client accepted last."""


class Stream(NamedTuple):
    """One stream. `seen` is the highest revision of our store that the client said to have seen.

    `returned` if the client came with anything at all, from us or from another.

    `aggregated` if all types come on this stream, so that a type which is not asked for says something.

    `settled` once the client has had time to ask for every type it uses: until then, nothing that it brought along
    from an earlier stream is taken away.

    `shared` if other controllers serve the same store, so that one of them may be ahead of us.
    """

    delta: bool
    aggregated: bool = True
    snapshot: Snapshot | None = None
    lanes: Mapping[str, Lane] = MappingProxyType({})
    nonces: int = 0
    seen: int = 0
    returned: bool = False
    settled: bool = False
    shared: bool = True

    def ahead(self, snapshot: Snapshot) -> bool:
        """Whether the client has what another controller knows and we do not yet: what is older waits until we do.

        Who has the store alone is never behind. If a client has seen more, a copy of the store was put back, and what
        that says is true now.
        """
        return self.shared and self.seen > snapshot.revision
