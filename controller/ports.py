"""What the core needs of the world, as Protocols. Adapters implement them; only `app` chooses which."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.decision import Decision, Sync
from controller.core.readings import Reading
from controller.core.recording import Recording
from controller.core.telemetry import Traffic
from controller.core.verdict import Reason, Verdict
from controller.core.view import Change, LedgerLine, ServiceState, View


class StoreError(Exception):
    """Base of what a store can answer instead of doing it."""


class Conflict(StoreError):  # noqa: N818
    """Surely not applied: another change came first, or the token is not the current one. Read again."""


class Frozen(StoreError):  # noqa: N818
    """Surely not applied: a freeze in force stops this act. The message names it."""


class ReusedId(StoreError):  # noqa: N818
    """Surely not applied: a change with this id but another content was applied before."""


class StoreLost(StoreError):  # noqa: N818
    """Perhaps applied: the store did not answer. Read again and look for the change id."""


class NotWritten(StoreLost):
    """Surely not applied: the disk refused it (full, I/O error). What was stored before stands and is served."""


class Unusable(StoreError):  # noqa: N818
    """The store cannot be opened: corrupt, not writable, of a newer schema, in use. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A change that was applied: at which revision, and what it said (`Change.fingerprint`)."""

    revision: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Term:
    """The right to decide. `token` rises with every term, so a late write of an older one is refused."""

    token: int


class Store(Protocol):
    """The one place where decisions become true. The same promises by every backend, tested by one suite."""

    shared: bool
    """Whether several controllers may have it open at once, so that one may be ahead of the others."""

    async def load(self) -> View:
        """Everything at one revision."""
        ...

    def newest(self) -> View:
        """The newest view that is known, at once: nothing is asked, so while the store is away it may be old."""
        ...

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        ...

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change: the revision. In one transaction compares token, expected revision, freezes."""
        ...

    async def command(self, change: Change) -> int:
        """Apply an operator's change, on any replica: the revision. Compares expected revision and freezes."""
        ...

    async def campaign(self, who: str) -> Term:
        """Become the one who decides; returns when that is so."""
        ...

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied: what makes a retry safe, and settles a `StoreLost`."""
        ...

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first, of one service or ("") of all."""
        ...


class Archive(Protocol):
    """Keeps what may be lost without harm: sessions under judgement, and recordings. Bounded."""

    async def save_session(self, service: str, rollout_id: str, session: str) -> None:
        """Keep the newest session of a service's rollout (JSON)."""
        ...

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        ...

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout. Of rollouts beyond a bound the oldest are forgotten."""
        ...

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        ...


class Cursors(Protocol):
    """Keeps how far each reader of the ledger has come. May be lost: then a reader begins at the ledger's end."""

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence."""
        ...

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a reader that is new."""
        ...


class Undelivered(Exception):  # noqa: N818
    """What was to be told was not taken, and why. `final`: trying the same again is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Audience(Protocol):
    """Somebody who is told of the ledger's lines: people, a program, a hook.

    `name` is its own among all, `batch` the most lines it takes at once, `give_up` the seconds after which a line is
    too old to be told.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int: ...

    @property
    def give_up(self) -> float: ...

    def wants(self, line: LedgerLine) -> bool:
        """Whether it is to be told of this line."""
        ...

    async def tell(self, lines: Sequence[LedgerLine]) -> None:
        """Tell it; a line may come twice. Raises `Undelivered`; bounded in time."""
        ...


class Gates(Protocol):
    """The hooks that services' policies name. Neither method ever waits: the newest answer is what counts."""

    def hold(self, state: ServiceState, decision: Decision, verdict: Verdict) -> str:
        """Why a decision that moves traffic forward must wait, in words; empty if every hook lets it pass."""
        ...

    def rollback(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        """Why a hook wants the running rollout taken back; None if none does. `verdict` is the newest one."""
        ...


class CustomMetrics(Protocol):
    """The custom metrics that services' policies name. Read in the background: this never waits."""

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """What was read of the service's running rollout since the last time."""
        ...


class Clock(Protocol):
    """Time. Durations are measured by `monotonic`; `wall` is for people and for what survives a restart."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def wall(self) -> float:
        """Unix seconds."""
        ...


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One resource type at one proxy. `state` is SYNCED, STALE, NOT_SENT or ERROR; times are Unix seconds."""

    type_url: str
    state: str
    wanted: str
    acknowledged: str
    since: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """What a proxy refused: of which type, when (Unix seconds), in its own words."""

    type_url: str
    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A service whose rollout waits for a proxy: what for, and since when (Unix seconds)."""

    service: str
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One connected proxy (or proxyless client): who it is and how far it is, per type."""

    node: str
    fleet: str
    client: str
    connected_at: float
    types: tuple[TypeStatus, ...]
    state: str
    """The worst of its types: SYNCED, STALE (unconfirmed), NOT_SENT or ERROR (refused)."""
    waits: tuple[Wait, ...] = ()
    """The rollouts that wait for it."""
    refused: Refused | None = None
    """What it refused last, also if it has something better since."""


class Fleet(Protocol):
    """What is known of the proxies."""

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand, each with the reason; the others are served."""
        ...

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy."""
        ...

    def sync(self, service: str, revision: int) -> Sync:
        """How many connected proxies of the service's fleets have acknowledged its routes as of that revision."""
        ...


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of a service beside what is stored: the newest verdict, what is made of it, the traffic."""

    verdict: Verdict | None = None
    decision: str = ""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By version."""
    updated_at: float = 0.0
    stable: Verdict | None = None
    """The watch's word on stable, from when no rollout was running last."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """By channel of harm, at the last look at a rollout."""

    @property
    def told(self) -> tuple[str, ...]:
        """What the judge sees and what automation makes of it, in words, each said once."""
        reasons = tuple(reason.text for reason in self.verdict.reasons) if self.verdict else ()
        known = ("", *reasons, "; ".join(reasons))
        return reasons if self.decision in known else (*reasons, self.decision)


class Observatory(Protocol):
    """What can be looked at now. The loop is one."""

    def view(self) -> View:
        """The newest view."""
        ...

    def live(self, service: str) -> Live:
        """The newest look at a service."""
        ...

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen` (0 at first); the number to wait with next time."""
        ...


class Recordings(Protocol):
    """What is kept of rollouts beside the ledger."""

    async def find(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout up to now; None if there is none, or none any longer. Not to be changed."""
        ...
