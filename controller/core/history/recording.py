"""What is kept of one rollout besides the ledger: its windows, its evidence over time, and how every
channel stood last.

It may be lost without harm. With it a rollout can be explained, and judged again by another policy.
"""

import json
from dataclasses import dataclass, field, replace

from controller.core.history.evidence_trace import EvidenceTrace
from controller.core.history.window_history import WindowHistory
from controller.core.judge.reason import Reason

FORMAT = 3
"""The number of the stored form, and of the latency buckets in it."""
READABLE = (1, 2, FORMAT)
"""The forms that are read: 1 had no custom metrics, 2 no groups of proxies. Any other is refused."""


@dataclass(slots=True)
class Recording:
    """One rollout. Mutable as long as it runs."""

    rollout_id: str
    service: str
    stable: str
    canary: str
    windows: WindowHistory = field(default_factory=WindowHistory)
    trace: EvidenceTrace = field(default_factory=EvidenceTrace)
    limit: float = 0.0
    """The evidence at which it is rolled back."""
    channels: tuple[Reason, ...] = ()
    """Every channel of harm, as it stood last."""
    gates: tuple[Reason, ...] = ()
    """Every metric of the gate that was last asked for."""

    def copy(self) -> "Recording":
        """An independent one, which can be dumped elsewhere while this one goes on."""
        return replace(self, windows=self.windows.copy(), trace=EvidenceTrace(self.trace.points, self.trace.pace))

    def dump(self) -> str:
        """As text: a line of JSON, then a line for each window."""
        head = {
            "format": FORMAT,
            "rollout_id": self.rollout_id,
            "service": self.service,
            "stable": self.stable,
            "canary": self.canary,
            "dropped": self.windows.dropped,
            "trace": self.trace.dump(),
            "limit": self.limit,
            "channels": [reason.plain() for reason in self.channels],
            "gates": [reason.plain() for reason in self.gates],
        }
        return "\n".join([json.dumps(head, separators=(",", ":")), *self.windows.lines()])

    @classmethod
    def load(cls, text: str) -> "Recording":
        """What `dump` wrote; ValueError for anything else."""
        head, *lines = text.splitlines()
        try:
            stored = json.loads(head)
            if stored["format"] not in READABLE:
                raise ValueError(f"a recording of another format than {FORMAT}")
            return cls(
                str(stored["rollout_id"]),
                str(stored["service"]),
                str(stored["stable"]),
                str(stored["canary"]),
                windows=WindowHistory(lines, dropped=int(stored["dropped"])),
                trace=EvidenceTrace.load(stored["trace"]),
                limit=float(stored["limit"]),
                channels=tuple(Reason.from_plain(reason) for reason in stored["channels"]),
                gates=tuple(Reason.from_plain(reason) for reason in stored["gates"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a recording: {error!r}") from error
