"""A line of the ledger, and what an act contributes to it."""

import hashlib
import json
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

from controller.core.base.value import Value
from controller.core.model.actor import Actor, Proof
from controller.core.model.freeze import ALL
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.stored_proof import StoredProof


def services_of(scope: str) -> tuple[str, ...]:
    """The services that a line's scope names; it is stored as their names with commas, `*` for all."""
    return tuple(scope.split(",")) if scope else ()


Services = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda stored: services_of(stored) if isinstance(stored, str) else stored),
    PlainSerializer(",".join),
    Field(validation_alias="service", serialization_alias="service"),
]


class Entry(Value):
    """What an act writes into the ledger. The store adds sequence number, revision, time and the hash chain.

    `services` are those that it is about: one, several, `*` for all, or none where it is about a proxy. The weights
    before and after it are those of the one service; both are empty where there is not one.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    kind: Annotated[LedgerKind | str, Field(union_mode="left_to_right")]
    """A `LedgerKind`; text for a kind of an older or a newer version."""
    services: Services = ()
    who: str
    proof: StoredProof = Proof.CLAIMED
    """How `who` was verified."""
    why: str
    weights_before: dict[str, int] = Field(default_factory=dict)
    weights_after: dict[str, int] = Field(default_factory=dict)
    details: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """Who did it."""
        return Actor(self.who, self.proof)

    @property
    def scope(self) -> str:
        """Its services as they are stored and shown: their names with commas, `*` for all."""
        return ",".join(self.services)

    def concerns(self, service: str) -> bool:
        """Whether it is about that service, alone or among others."""
        return service in self.services or ALL in self.services


class ChainEnd(NamedTuple):
    """The sequence and the hash of the ledger's last line; the defaults are those of an empty ledger."""

    sequence: int = 0
    hash: str = ""


class LedgerLine(Value):
    """One line of the ledger. `hash` covers every other field and `previous`, the hash of the line before.

    `effect` is the SHA-256 of what the change did to the stored state, which the store keeps beside the line: so the
    chain covers it too, and replaying the effects gives the stored state.
    """

    sequence: int
    revision: int
    at: float
    change_id: str
    entry: Entry
    effect: str = ""
    previous: str
    hash: str

    @classmethod
    def after(
        cls,
        end: ChainEnd,
        *,
        revision: int,
        at: float,
        change_id: str,
        entry: Entry,
        effect: str = "",
    ) -> "LedgerLine":
        """The line that follows the chain's end; the first of all follows `ChainEnd()`."""
        body = cls(
            sequence=end.sequence + 1,
            revision=revision,
            at=at,
            change_id=change_id,
            entry=entry,
            effect=effect,
            previous=end.hash,
            hash="",
        )
        return body.model_copy(update={"hash": body.digest()})

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of everything but the hash itself."""
        plain = self.model_dump(mode="json", exclude={"hash"})
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
