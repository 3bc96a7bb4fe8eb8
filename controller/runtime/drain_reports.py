"""What is still in progress on a canary that was rolled back, for the ledger.

A rollback moves new requests at once; those that have begun go on, and Envoy has no way to end them. Short ones are
over when every proxy has confirmed, so a line is worth its place only for long streams.
"""

from collections.abc import Collection
from dataclasses import dataclass

from controller.core.base.units import counted
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.runtime.ledger_writer import LedgerWriter

REPORTED_AFTER = 10.0
"""Seconds after a rollback: what is in progress then is a long stream, or hangs."""


@dataclass
class _Drain:
    """A rolled-back canary with requests in progress: of which rollout, and how many there were at first."""

    rollout_id: str
    requests: int


class DrainReports:
    """One ledger line when a rolled-back canary still has requests in progress, and one when the last has ended.

    After a restart, or in a new term, a canary that still drains has a first line again.
    """

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger
        self._drains: dict[str, _Drain] = {}

    def observe(self, state: ServiceState, in_progress: int, wall: float) -> None:
        """Note how many requests that the weights sent to the canary are in progress at `wall`, in Unix seconds."""
        rollout, drain = state.rollout, self._drains.get(state.name)
        if rollout is None or rollout.phase is not Phase.ROLLED_BACK:
            self._drains.pop(state.name, None)
            return
        seconds = wall - rollout.entered_at
        known = drain is not None and drain.rollout_id == rollout.id
        if in_progress and not known and seconds >= REPORTED_AFTER:
            self._drains[state.name] = _Drain(rollout.id, in_progress)
            text = f"{counted(in_progress, 'request')} of {rollout.canary} still in progress"
            self._append(state, LedgerKind.DRAINING, f"{text} {seconds:.0f} s after the rollback", in_progress)
        elif drain and known and not in_progress:
            del self._drains[state.name]
            text = f"the last request of {rollout.canary} has ended, {seconds:.0f} s after the rollback"
            self._append(state, LedgerKind.DRAINED, text, drain.requests)

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the services that are gone."""
        self._drains = {name: drain for name, drain in self._drains.items() if name in services}

    def _append(self, state: ServiceState, kind: LedgerKind, why: str, requests: int) -> None:
        self._ledger.note(state, kind, why, requests=requests)
