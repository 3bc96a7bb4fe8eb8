"""What the store holds: the state of every service, the freezes, and the ledger's lines. All of it frozen values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field, JsonValue

from controller.core.guard import Act, Freeze, blocking
from controller.core.rollout import Rollout
from controller.core.spec import Service, Value
from controller.core.units import PARTS

SCHEMA = 1
"""The schema number written into each stored record; a reader refuses newer ones."""

FIXED_RESPONSE = "(fixed response)"
"""Stands in a service's weights for the fallback that is no version; no version can have this name."""


class ServiceState(Value):
    """One service as it stands: the record that the store compares and swaps.

    `stable` is the version that carries the traffic: the one declared at first, later the one promoted last.
    `source` is the service file's text as applied. `diverted` says why all traffic goes to the declared fallback; empty
    while it does not. `revision` is the store's revision at which this record last changed; the store sets it.
    """

    spec: Service
    source: str
    stable: str
    rollout: Rollout | None = None
    diverted: str = ""
    revision: int = 0

    @property
    def name(self) -> str:
        """The service's name."""
        return self.spec.name

    @property
    def weights(self) -> dict[str, int]:
        """Version -> parts of 10 000, the canary first while it has a place; they total 10 000."""
        if self.diverted and self.spec.fallback:
            return {self.spec.fallback.version or FIXED_RESPONSE: PARTS}
        rollout = self.rollout
        if rollout is None:
            return {self.stable: PARTS}
        return {rollout.canary: rollout.weight, rollout.stable: PARTS - rollout.weight}


@dataclass(frozen=True, slots=True)
class View:
    """Everything at one revision. `broken` names records that could not be read, each with what is wrong with it."""

    store_id: str
    revision: int
    services: Mapping[str, ServiceState]
    freezes: tuple[Freeze, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    def blocking(self, service: str, act: Act) -> Freeze | None:
        """The freeze that stops this act on this service, if any."""
        return blocking(self.freezes, service, act)


class Entry(Value):
    """What an act tells the ledger. The store adds sequence number, revision, time and the hash chain.

    `weights_before` and `weights_after` are those of `service`; both empty where no service is concerned.
    """

    kind: str
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


@dataclass(frozen=True, slots=True)
class Change:
    """One act, applied whole or not at all: a record swapped, freezes set or lifted, and one line of the ledger.

    `id` makes a retry safe: a second change with the same id and the same `fingerprint` is answered with the first
    one's revision; with another fingerprint it is refused. `expects` is the revision of the service's record that
    the change was decided on, 0 for 'there is none', None where no record is concerned. `state` None with `service`
    set and `delete` true removes the record. A freeze in `freeze` stands beside those that are there, or renews
    one. `lift` holds the freezes to end, each as it was read: if one was renewed or is gone, the change is a Conflict.
    """

    id: str
    fingerprint: str
    act: Act
    entry: Entry
    service: str = ""
    expects: int | None = None
    state: ServiceState | None = None
    delete: bool = False
    freeze: tuple[Freeze, ...] = ()
    lift: tuple[Freeze, ...] = ()
