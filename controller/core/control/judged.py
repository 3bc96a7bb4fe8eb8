"""Where controllers share a store: who judges, and whether what it knows is known to the one that is asked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Gap(StrEnum):
    """Why a controller does not know what is judged. The words are codes of the admin API's `details`."""

    NO_LEADER = "no_leader"
    """No controller decides."""
    LEADER_NOT_DECIDING = "leader_not_deciding"
    """The controller that decides, by the store, has not begun to, or has ended."""
    LEADER_UNREACHABLE = "leader_unreachable"
    LEADER_OTHER_VERSION = "leader_other_version"
    """The one that decides does not pass on what it knows, or passes on what this one cannot read."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Who judges, and as of when that is known (Unix seconds). With a `gap` nothing of it is known."""

    controller: str = ""
    """The name of the one that decides; empty if none does."""
    as_of: float = 0.0
    gap: Gap | None = None
    since: float = 0.0
    """Since when there is the gap, in Unix seconds."""
    detail: str = ""

    @property
    def problem(self) -> str:
        """The gap in words; empty without one."""
        if self.gap is None:
            return ""
        since = f"since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        match self.gap:
            case Gap.NO_LEADER:
                return (
                    f"no controller decides {since}, so nothing is judged; what is shown is of proxies connected here"
                )
            case Gap.LEADER_NOT_DECIDING:
                return f"{self.controller} holds the term and does not decide yet, or no longer: nothing is judged"
            case Gap.LEADER_UNREACHABLE:
                how = f"which decides and cannot be reached {since}"
            case Gap.LEADER_OTHER_VERSION:
                how = "which decides and is of another version"
        text = f"verdicts are known to {self.controller}, {how} ({self.detail})"
        return f"{text}; what is shown is of proxies connected here"
