"""All resources of one type at one revision, and what each subscription selects of them. Frozen values, no I/O."""

from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

from controller.xds.resources.resource import NO_RESOURCES, Resource, Resources
from controller.xds.resources.resource_version import ResourceVersion, combined_hash, unordered_hash
from controller.xds.resources.subscription import Subscription

MAX_SELECTIONS = 256
"""Different subscriptions remembered for each catalogue; the proxies of one fleet have few."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All resources of one type. A wildcard selects `listed`; `named` are sent only to clients that name them."""

    version: str
    listed: Resources = field(default_factory=lambda: NO_RESOURCES)
    named: Resources = field(default_factory=lambda: NO_RESOURCES)
    _selections: dict[Subscription, Resources] = field(default_factory=dict, repr=False)

    def select(self, subscription: Subscription) -> Resources:
        """The resources of that subscription: the same object each time, so that streams can share it."""
        if subscription.wildcard and not subscription.names:
            return self.listed
        selected = self._selections.get(subscription)
        if selected is None:
            if len(self._selections) >= MAX_SELECTIONS:
                self._selections.clear()
            by_name = {name: self.find(name) for name in subscription.names}
            selected = {name: resource for name, resource in by_name.items() if resource}
            if subscription.wildcard:
                selected |= self.listed
            self._selections[subscription] = selected
        return selected

    def find(self, name: str) -> Resource | None:
        """The resource for a client that subscribes to that name; None if there is none."""
        return self.named.get(name) or self.listed.get(name)

    @cached_property
    def contents(self) -> frozenset[str]:
        """The content hashes of everything in it that a client can NACK."""
        every = (*self.listed.values(), *self.named.values())
        return frozenset(unit.content for resource in every for unit in resource.units)


_DIGEST = attrgetter("digest")
EMPTY_CATALOGUE = Catalogue(version="")


def make_catalogue(
    store: str,
    revision: int,
    listed: Resources,
    named: Resources = NO_RESOURCES,
    *,
    before: Catalogue = EMPTY_CATALOGUE,
) -> Catalogue:
    """A catalogue of those resources: `before` itself if nothing changed, else with the unchanged resources of it."""
    listed, named = _reuse(listed, before.listed), _reuse(named, before.named)
    if before.version and _identical(listed, before.listed) and _identical(named, before.named):
        return before
    sets = (unordered_hash(map(_DIGEST, group.values())) for group in (listed, named))
    return Catalogue(str(ResourceVersion(store, revision, combined_hash(sets))), listed, named)


def _reuse(new: Resources, old: Resources) -> Resources:
    """The new resources, but the old object (with its older version) where the content is the same."""
    if new is old:
        return old
    others = [name for name, resource in new.items() if old.get(name) is not resource]
    if not others and len(new) == len(old):
        return old
    same = {name: known for name in others if (known := old.get(name)) and known.content == new[name].content}
    return {**new, **same} if same else new


def _identical(new: Resources, old: Resources) -> bool:
    return new is old or (len(new) == len(old) and all(old.get(name) is resource for name, resource in new.items()))
