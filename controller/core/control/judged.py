"""Where controllers share a store: who judges, and whether what it knows is known to the one that is asked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Gap(StrEnum):
    """Why a controller does not know what is judged. The words are codes of the admin API's `details`."""

    NO_LEADER = "no_leader"
    """No controller decides."""
    TERM_BEGINS = "term_begins"
    """The controller that is asked has just begun to decide."""
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
            case Gap.TERM_BEGINS:
                return f"{self.controller} has begun to decide, and has judged nothing yet"
            case Gap.LEADER_UNREACHABLE:
                how = f"which decides and cannot be reached {since}"
            case Gap.LEADER_OTHER_VERSION:
                how = "which decides and is of another version"
        text = f"verdicts are known to {self.controller}, {how} ({self.detail})"
        return f"{text}; what is shown is of proxies connected here"
