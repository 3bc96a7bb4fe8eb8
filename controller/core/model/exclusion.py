"""Excluded proxies: served like every other, and neither judged nor waited for."""

from typing import Any

from controller.core.base.value import Value
from controller.core.model.actor import Actor, Proof
from controller.core.model.stored_proof import StoredProof


class Exclusion(Value):
    """A proxy that an operator excluded, by its node id, in whichever fleet. `since` is Unix seconds."""

    node: str
    reason: str
    who: str
    proof: StoredProof = Proof.CLAIMED
    since: float

    @property
    def actor(self) -> Actor:
        """Who excluded it."""
        return Actor(self.who, self.proof)

    def plain(self) -> dict[str, Any]:
        """As JSON values, as the APIs show it."""
        return {**self.model_dump(mode="json", exclude={"proof"}), **self.actor.plain()}
