"""What is known of the services now, besides what is stored."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.control.blocker import Blocker
from controller.core.control.judged import Judged
from controller.core.judge.verdict import Verdict
from controller.core.model.source_status import SharedEndpoint, SourceStatus
from controller.core.model.view import View
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.reports import Traffic
from controller.ports.service_files import FilesStatus


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of a service besides what is stored: the newest verdict, the decision on it, the traffic.

    Verdicts, and the traffic of all proxies, are known to the replica that decides (`judged`).
    """

    verdict: Verdict | None = None
    remark: str = ""
    """What the decision says besides the verdict's reasons."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By version."""
    unjudged: Mapping[str, Traffic] = field(default_factory=dict)
    """By "VERSION/ROLE": of requests that the weights did not send there."""
    endpoints: Mapping[str, EndpointHealth] = field(default_factory=dict)
    """By version, as far as proxies report on them."""
    sources: Mapping[str, SourceStatus] = field(default_factory=dict)
    """By version, of those whose endpoints have a source: what this replica has read of it."""
    shared: tuple[SharedEndpoint, ...] = ()
    updated_at: float = 0.0
    """Unix seconds."""
    stable: Verdict | None = None
    """The verdict on stable, from when no rollout was running last."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """By channel of harm, at the last tick of a rollout."""
    total_evidence: float | None = None
    """The evidence of harm of all channels together, at the last tick of a rollout: what a rollback rests on."""
    blocker: Blocker | None = None
    """What kept automation from the next move at the last tick of a rollout."""
    judged: Judged | None = None
    """Which controller judges, and as of when that is known; None where a controller is alone with its store."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The verdict's reasons and the remark, in words."""
        reasons = tuple(reason.text for reason in self.verdict.reasons) if self.verdict else ()
        return (*reasons, self.remark) if self.remark else reasons


class Observatory(Protocol):
    """What is known now, in this replica or in the one that decides. Nothing here raises."""

    def view(self) -> View:
        """The view that is being served."""
        ...

    def live(self, service: str) -> Live:
        """What is known of a service; empty for one that is not in the view."""
        ...

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        ...

    def lacks_upstream(self, service: str, version: str) -> bool | None:
        """Whether some proxy has no healthy endpoint of this version; None while none reports on the service."""
        ...

    def files(self) -> FilesStatus:
        """What became of the service files of a folder."""
        ...

    async def refresh(self, services: Collection[str]) -> None:
        """Bring what is said here of these services up to date, where another controller knows it: a second or two at
        most."""
        ...

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen` (0 at first), a second at most; the number for the next call."""
        ...
