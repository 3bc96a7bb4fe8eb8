"""What only the controller that decides does, inside one term: judge, notify, ask hooks and Prometheus, apply files."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

from aiohttp import ClientSession

from controller.assembly.base import Base
from controller.assembly.peers import Peers
from controller.assembly.proxy_services import ProxyServices
from controller.hooks.event_hook import EventHook
from controller.hooks.hook_approvals import HookApprovals
from controller.notify.cloud_events import CloudEvents
from controller.notify.notifications import Notifications
from controller.notify.people import People
from controller.ports.recipient import Recipient
from controller.ports.store import Term
from controller.process.http_client import open_session
from controller.runtime.adapters import Adapters
from controller.runtime.certificate_watch import CertificateWatch
from controller.runtime.decider import Decider
from controller.runtime.file_follower import FileFollower
from controller.runtime.fleet_reports import FleetReports
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from controller.sources.service_folder import ServiceFolder
from controller.telemetry.prometheus_client import PrometheusClient
from controller.telemetry.prometheus_poller import PrometheusPoller


class TermWork:
    """Runs the work of one term after another."""

    def __init__(
        self,
        base: Base,
        proxies: ProxyServices,
        peers: Peers,
        *,
        operations: Operations,
        certificates: CertificateWatch,
    ) -> None:
        self._base = base
        self._proxies = proxies
        self._peers = peers
        self._operations = operations
        self._certificates = certificates
        self.recorder = Recorder(base.store, base.clock)
        """The recordings of rollouts: those of this term from memory, all others from the store."""
        self._follower = self._make_follower()

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs also between terms: to follow a folder takes to know what it has had."""
        if self._follower:
            yield self._follower.watch()

    async def decide(self, term: Term) -> None:
        """Do all of it, until cancelled; then save for the next term, unless this one was lost."""
        # Hooks, notifications and metrics have sessions of their own: none uses up another's connections.
        async with open_session() as hook_session, open_session() as notify_session, open_session() as metric_session:
            custom = self._prometheus(metric_session)
            with contextlib.closing(self._hooks(hook_session)) as hooks:
                reports = self._peers.fleet_reports()
                decider = self._decider(term, hooks, custom, reports)
                if reports:
                    decider.write_line(self._peers.membership.term_begun(term))
                    reports.resume(await decider.load_sessions())
                    await self._peers.membership.refresh()
                work = (
                    decider.run(),
                    custom.run(self._base.replica.view),
                    self._notifications().run(self._recipients(notify_session)),
                    self._certificates.record(self._base.store, term.token),
                    *([reports.run()] if reports else []),
                    *([self._follower.run()] if self._follower else []),
                )
                try:
                    with self._peers.deciding(decider, reports):
                        async with asyncio.TaskGroup() as tasks:
                            for each in work:
                                tasks.create_task(each)
                finally:
                    if not term.over:
                        await decider.save()
                    self.recorder.forget_all()

    def _decider(
        self, term: Term, hooks: HookApprovals, custom: PrometheusPoller, reports: FleetReports | None
    ) -> Decider:
        base = self._base
        adapters = Adapters(
            store=base.store,
            clock=base.clock,
            book=reports.book if reports else base.book,
            fleet=self._peers.fleet,
            reports=reports,
            hooks=hooks,
            custom=custom,
            meter=base.metrics,
            tracer=base.tracer,
            right_of_way=self._proxies.xds.right_of_way,
            sources=base.sources,
        )
        return Decider(
            adapters,
            self.recorder,
            token=term.token,
            served=base.replica,
            on_cycle=base.replica.announce,
            sync_share=base.settings.sync_share,
        )

    def _hooks(self, session: ClientSession) -> HookApprovals:
        base = self._base
        return HookApprovals(
            base.settings.hooks,
            session=session,
            clock=base.clock,
            meter=base.metrics,
            on_news=base.replica.wake,
        )

    def _prometheus(self, session: ClientSession) -> PrometheusPoller:
        settings = self._base.settings
        return PrometheusPoller(
            PrometheusClient(settings.prometheus, session, settings.prometheus_timeout),
            settings.metrics,
            clock=self._base.clock,
            interval=settings.prometheus_interval,
            on_news=self._base.replica.wake,
        )

    def _notifications(self) -> Notifications:
        base = self._base
        return Notifications(
            store=base.store,
            cursors=base.store,
            observatory=base.replica,
            clock=base.clock,
            meter=base.metrics,
        )

    def _recipients(self, session: ClientSession) -> list[Recipient]:
        """Everyone whom the settings want notified."""
        clock, view, settings = self._base.clock, self._base.replica.view, self._base.settings
        recipients: list[Recipient] = []
        for name, target in settings.notify.items():
            full = f"notify.{name}"
            people = target.url is None
            recipients.append(
                People(full, target) if people else CloudEvents(full, target, session, clock, view().store_id)
            )
        for name, hook in settings.hooks.items():
            recipients.append(EventHook(name, hook, session=session, clock=clock, view=view))
        return recipients

    def _make_follower(self) -> FileFollower | None:
        """Who applies a folder's service files, if the settings name one."""
        folder, base = self._base.settings.apply_from, self._base
        if folder is None:
            return None
        return FileFollower(ServiceFolder(folder), self._operations, base.clock, base.replica.on_files)
