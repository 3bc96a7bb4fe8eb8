"""A line of the ledger, and what an act contributes to it."""

import hashlib
import json
from typing import Annotated

from pydantic import Field, JsonValue

from controller.core.base.value import Value
from controller.core.model.ledger_kind import LedgerKind


class Entry(Value):
    """What an act tells the ledger. The store adds sequence number, revision, time and the hash chain.

    `weights_before` and `weights_after` are those of `service`; both empty where no service is concerned.
    """

    kind: Annotated[LedgerKind | str, Field(union_mode="left_to_right")]
    """A `LedgerKind`; text for a kind of an older or a newer version."""
    service: str = ""
    who: str
    why: str
    weights_before: dict[str, int] = Field(default_factory=dict)
    weights_after: dict[str, int] = Field(default_factory=dict)
    details: dict[str, JsonValue] = Field(default_factory=dict)


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
        sequence: int,
        hash_: str,
        *,
        revision: int,
        at: float,
        change_id: str,
        entry: Entry,
        effect: str = "",
    ) -> "LedgerLine":
        """The line that follows the one of that sequence and hash; the first of all follows (0, "")."""
        body = cls(
            sequence=sequence + 1,
            revision=revision,
            at=at,
            change_id=change_id,
            entry=entry,
            effect=effect,
            previous=hash_,
            hash="",
        )
        return body.model_copy(update={"hash": body.digest()})

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of everything but the hash itself."""
        plain = self.model_dump(mode="json", exclude={"hash"})
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
