"""One service as the APIs and the console show it: what is stored, and what this replica knows of it now."""

from dataclasses import dataclass

from controller.core.control.sync import Sync
from controller.core.judge.verdict import Verdict
from controller.core.model.freeze import Freeze
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.ports.fleet import Fleet
from controller.ports.observatory import Live, Observatory


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. `freezes` are those in force for it, `problem` says why it cannot be served as it stands."""

    state: ServiceState
    freezes: tuple[Freeze, ...]
    live: Live
    sync: Sync
    problem: str

    @classmethod
    def of(cls, state: ServiceState, view: View, observatory: Observatory, fleet: Fleet) -> "ServiceView":
        """The service in that state, in a store's view."""
        return cls(
            state,
            tuple(freeze for freeze in view.freezes if freeze.covers(state.name)),
            observatory.live(state.name),
            fleet.sync(state.name, state.revision),
            fleet.problems.get(state.name, ""),
        )

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout, running or not."""
        return self.state.rollout

    @property
    def running(self) -> bool:
        """Whether a rollout is under way."""
        return self.rollout is not None and self.rollout.running

    @property
    def phase(self) -> Phase:
        """The rollout's phase; IDLE if there never was one."""
        return self.rollout.phase if self.rollout else Phase.IDLE

    @property
    def stable(self) -> str:
        """The stable of the rollout, or of the service if there never was one."""
        return self.rollout.stable if self.rollout else self.state.stable

    @property
    def canary(self) -> str:
        """The rollout's canary; empty if there never was one."""
        return self.rollout.canary if self.rollout else ""

    @property
    def verdict(self) -> Verdict | None:
        """The newest verdict on the rollout."""
        return self.live.verdict if self.rollout else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The verdict's reasons and what automation remarks, in words; after a restart, why it is in this phase, and
        where the verdict is not known, why."""
        if self.rollout is None:
            return ()
        unknown = self.live.judged.problem if self.live.judged else ""
        return self.live.reasons or tuple(filter(None, (unknown, self.rollout.reason)))

    @property
    def stable_verdict(self) -> Verdict | None:
        """The verdict on stable; None while a rollout runs."""
        return None if self.running else self.live.stable

    @property
    def stable_reasons(self) -> tuple[str, ...]:
        """Its reasons, in words."""
        return tuple(reason.text for reason in self.stable_verdict.reasons) if self.stable_verdict else ()
