"""What keeps automation from the next move of a rollout, as a value. `describe` puts it into words."""

from dataclasses import dataclass
from enum import StrEnum

from controller.core.control.capacity import CapacityGap
from controller.core.control.sync import Sync
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_kind import LedgerKind


class BlockerKind(StrEnum):
    """What blocks. The words are the admin API's."""

    NO_ROLLOUT = "no_rollout"
    PAUSE = "pause"
    APPROVAL = "approval"
    """The next weight needs a person's approval."""
    WARM_UP = "warm_up"
    DWELL = "dwell"
    BAKE = "bake"
    EVIDENCE = "evidence"
    """The verdict is no PASS; its reasons say why."""
    DEADLINE = "deadline"
    """The deadline passed without proof, and the policy leaves it to a person."""
    SUSPICION = "suspicion"
    """In the bake there is evidence of harm, short of what a rollback needs."""
    SYNC = "sync"
    """Too few proxies have ACKed what was decided."""
    NACK = "nack"
    """A proxy has NACKed what was decided."""
    NO_REPORT = "no_report"
    """No window is complete: a proxy's report is still awaited."""
    CUT_OFF = "cut_off"
    """A controller with proxies is cut off from the one that decides: what they report is not known."""
    FREEZE = "freeze"
    HOOK = "hook"
    NO_HEALTHY_UPSTREAM = "no_healthy_upstream"
    """The version that would get the traffic has no healthy endpoint."""
    CAPACITY = "capacity"
    """Stable has lost endpoints since the rollout began: a rollback would overload it."""
    SHARED_ENDPOINT = "shared_endpoint"
    """Stable and the canary have an endpoint in common, by what their sources say: judged against itself it shows no
    harm."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """What blocks, and what it blocks: `stops` is the kind of ledger line that there would be without it.

    `seconds` are left of a dwell or a bake. `weight`, in basis points, is the one that dwells, or that needs approval.
    `names` are those of the hooks that do not pass, of the version without a healthy endpoint, or of the endpoints in
    common. `words` are the reason of the person who paused, or the hooks' answers. `gap` is what stable lacks of its
    capacity.
    """

    kind: BlockerKind
    stops: LedgerKind | None = None
    seconds: float = 0.0
    weight: int = 0
    freeze: Freeze | None = None
    sync: Sync | None = None
    names: tuple[str, ...] = ()
    words: str = ""
    gap: CapacityGap | None = None

    @property
    def about(self) -> tuple[str, ...]:
        """The proxies, controllers, hooks, endpoints or version that it is about, by name."""
        if self.sync is None:
            return self.names
        if self.kind is BlockerKind.CUT_OFF:
            return tuple(each.controller for each in self.sync.cut_off)
        return self.sync.nacked if self.kind is BlockerKind.NACK else self.sync.behind


def unsynced(sync: Sync, stops: LedgerKind) -> Blocker:
    """The blocker where the fleet is not in sync."""
    if sync.nacked:
        return Blocker(BlockerKind.NACK, stops, sync=sync)
    return Blocker(BlockerKind.CUT_OFF if sync.cut_off else BlockerKind.SYNC, stops, sync=sync)
