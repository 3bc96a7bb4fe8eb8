"""The work of one term: ticks over every service, and what is written besides their decisions.

It begins with nothing but the newest view and what earlier terms saved, and a restart or another replica goes on from
what it saves. Its token is compared in every commit, so a decider whose term is over moves nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import Entry
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.reports import Traffic
from controller.ports.observatory import Live
from controller.runtime.adapters import Adapters
from controller.runtime.cycle import Cycle
from controller.runtime.ledger_writer import LedgerWriter
from controller.runtime.recorder import Recorder
from controller.runtime.session_saver import SessionSaver
from controller.runtime.ticker import Ticker, Writers


class Served(Protocol):
    """What the controller serves."""

    def view(self) -> View:
        """The newest view."""

    def expired_freezes(self) -> Iterable[Freeze]:
        """Its freezes whose time is over."""


class Decider:
    """Ticks, writes and saves with the token of one term.

    `served` is what this controller serves, `on_cycle` is called after each cycle, `sync_share` is the share of the
    proxies that must serve a step before the next one is taken.
    """

    def __init__(
        self,
        adapters: Adapters,
        recorder: Recorder,
        *,
        token: int,
        served: Served,
        on_cycle: Callable[[], None],
        sync_share: float,
    ) -> None:
        self._recorder = recorder
        self._tracer = adapters.tracer
        on_saved = adapters.reports.on_saved if adapters.reports else None
        self._saver = SessionSaver(adapters.store, adapters.clock, on_saved)
        self._ledger = LedgerWriter(adapters.store, token)
        writers = Writers(self._saver, self._ledger, recorder)
        self._ticker = Ticker(adapters, writers, token=token, view=served.view, sync_share=sync_share)
        self._cycle = Cycle(self._ticker, self._ledger, served.view, served.expired_freezes, on_cycle, adapters.meter)

    async def run(self) -> None:
        """Decide, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._cycle.run(), self._saver.run(), self._recorder.run()):
                tasks.create_task(work)

    async def load_sessions(self) -> Mapping[str, Mapping[str, int]]:
        """Load what earlier terms saved, before anything is reported. Returns by service up to which batch of each
        controller's reports its evidence goes."""
        return await self._ticker.load_sessions()

    async def save(self) -> None:
        """Save every session and recording, so that a restart or the next term goes on with the evidence."""
        self._ticker.save_sessions()
        await self._saver.save()
        await self._recorder.save()

    def live(self, state: ServiceState, traffic: Mapping[str, Traffic], wall: float) -> Live:
        """What this term knows of a service besides its traffic. `wall` is Unix seconds."""
        verdict, remark, blocker = self._ticker.last_tick(state)
        return Live(
            verdict=verdict,
            remark=remark,
            traffic=traffic,
            updated_at=wall,
            stable=self._ticker.stable_verdict(state),
            evidence=self._recorder.evidence(state.name),
            total_evidence=self._recorder.total_evidence(state.name),
            blocker=blocker,
        )

    def on_view(self, view: View) -> None:
        """A new view is being served: tick what it changes, and forget the services that are gone."""
        self._ticker.forget_all_but(view.services)
        self._recorder.forget_all_but(view.services)
        self._ledger.forget_all_but(view.services)
        self._cycle.on_view(view)

    def wake(self, services: Iterable[str]) -> None:
        """Something happened to these services: tick them at once."""
        self._cycle.wake(services)

    def on_reports(self, services: Iterable[str]) -> None:
        """Every awaited proxy has reported on these services: tick those at once for which that can change anything."""
        if due := [service for service in services if self._ticker.is_due(service)]:
            self._tracer.reported(due)
            self._cycle.wake(due)

    def on_proxies(self) -> None:
        """Proxies have ACKed or NACKed, come or gone: tick soon what waits for proxies."""
        self._cycle.wake_waiting()

    def write_line(self, entry: Entry) -> None:
        """Write a line into the ledger soon; for what happens without moving anything."""
        self._ledger.append(entry)
        self._cycle.wake()
