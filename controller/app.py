"""The composition root: the only module that knows every adapter. Builds them, starts them, ends them in order.

A controller does two things. What every replica does runs from start to end: follow the store, serve proxies and
operators, take in telemetry. What the deciding replica does runs inside a term (`_decide`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping
from typing import Any

import grpc
import structlog
from aiohttp import ClientSession, web

from controller import __version__
from controller.admin.doorkeeper import Doorkeeper
from controller.admin.grpc_api import add_admin
from controller.admin.http_api import Probes, make_http
from controller.admin.http_guard import caller_of_request
from controller.admin.service_reader import ServiceReader
from controller.admin.watch_streams import Watches
from controller.console.pages import console_routes
from controller.core.base.errors import Refusal
from controller.core.model.member import Member
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.core.routing.own_addresses import own_addresses
from controller.core.traffic.book import Book
from controller.core.traffic.report_log import ReportLog
from controller.doors import Doors
from controller.hooks.event_hook import EventHook
from controller.hooks.hook_approvals import HookApprovals
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.login import LOGIN_PATH, Login
from controller.identity.openid_provider import OpenIdProvider
from controller.identity.sessions import Sessions
from controller.identity.static_tokens import StaticTokens
from controller.identity.tls_files import TlsFiles
from controller.identity.token_verifier import BearerTokens, TokenVerifier
from controller.monitoring.certificate_expiry import CertificateExpiry
from controller.monitoring.controllers import ControllersState
from controller.monitoring.current_state import CurrentState
from controller.monitoring.exposition import Exposition
from controller.monitoring.metrics import Metrics
from controller.monitoring.relay_state import RelayState
from controller.notify.cloud_events import CloudEvents
from controller.notify.notifications import Notifications
from controller.notify.people import People
from controller.open_store import open_store
from controller.open_traces import opened_traces
from controller.ports.decision_tracer import NO_TRACES, DecisionTracer
from controller.ports.login_config import LoginConfig
from controller.ports.recipient import Recipient
from controller.ports.store import Backend, Term
from controller.process.clock import SystemClock
from controller.process.descriptors import DescriptorShares, raise_descriptor_limit, share_descriptors
from controller.process.event_loop import EventLoop
from controller.process.fault_points import arm, reach, read_faults
from controller.process.gc_tuning import tune_gc
from controller.process.host_name import advertised
from controller.process.http_client import open_session
from controller.process.logs import configure_logs
from controller.process.servers import Unstartable
from controller.process.service_manager import ServiceManager
from controller.process.web_route import Route
from controller.relay.relay_client import RelayClient
from controller.relay.relay_service import RelayService
from controller.runtime.adapters import Adapters
from controller.runtime.allowed import Allowed
from controller.runtime.certificate_watch import CertificateWatch
from controller.runtime.decider import Decider
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.edge_status import EdgeStatus
from controller.runtime.file_follower import FileFollower
from controller.runtime.fleet_reports import FleetReports
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.leadership import lead
from controller.runtime.membership import Membership
from controller.runtime.operations import Operations
from controller.runtime.proxy_events import ProxyEvents
from controller.runtime.recorder import Recorder
from controller.runtime.replica import Replica
from controller.runtime.sourced_endpoints import SourcedEndpoints
from controller.runtime.store_probe import probe_store
from controller.runtime.store_watch import watch_store
from controller.settings import Settings
from controller.sources.kubernetes_api import ApiServer
from controller.sources.service_folder import ServiceFolder
from controller.sources.source_watches import SourceWatches
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.metrics_service import MetricsService
from controller.telemetry.prometheus_client import PrometheusClient
from controller.telemetry.prometheus_poller import PrometheusPoller
from controller.telemetry.report_turns import ReportTurns
from controller.telemetry.reporters import Reporters
from controller.xds.server import XdsServer

log = structlog.get_logger()

LISTENS = ("xds_listen", "admin_listen", "http_listen")
"""The settings that name the controller's own addresses."""


class Controller:
    """Everything of one running controller, wired."""

    def __init__(
        self,
        settings: Settings,
        store: Backend,
        clock: SystemClock,
        shares: DescriptorShares,
        tracer: DecisionTracer = NO_TRACES,
    ) -> None:
        """`Refusal` that names the setting if a file of [tls] or [[access]] cannot be used."""
        self._settings = settings
        self._tracer = tracer
        self._store = store
        self._clock = clock
        self._metrics = Metrics()
        self._book = Book()
        self._kubernetes = ApiServer.of(
            settings.kubernetes_api, settings.kubernetes_token_file, settings.kubernetes_ca_file, os.environ
        )
        self._sources = SourcedEndpoints(
            SourceWatches(self._kubernetes, settings.dns_server), clock, self._on_endpoints
        )
        self._replica = Replica(self._book, clock, self._sources)
        self._own = own_addresses({name: getattr(settings, name) for name in LISTENS})
        self._xds = XdsServer(
            clock=clock,
            own=self._own,
            shared=store.shared,
            limits=settings.xds_limits,
            identifier=f"haldane/{__version__} {socket.gethostname()} {os.getpid()}",
            observer=ProxyEvents(self._metrics, self._replica, tracer),
        )
        self._right_of_way = self._xds.right_of_way
        self._edge = EdgeReports(self._book, ReportLog(), self._xds, self._replica.view) if store.shared else None
        sink = self._edge or self._book
        turns = ReportTurns(self._right_of_way)
        reporters = Reporters(self._xds, self._xds.stranger_log, self._xds.report_totals, self._metrics, clock)
        self._load_reports = LoadReportingService(
            sink,
            reporters,
            clock,
            interval=settings.report_interval,
            on_news=self._replica.on_reports,
            turns=turns,
        )
        self._proxy_metrics = MetricsService(
            sink, reporters, clock, turns=turns, is_behind=lambda: self._load_reports.is_behind
        )
        self._tls = TlsFiles(settings.tls) if settings.tls else None
        self._doors = Doors(settings, self._tls, shares)
        self._certificates = CertificateWatch(self._certificate_expiries, clock)
        token_files = {binding.token_file for binding in settings.access if binding.token_file}
        self._providers = [OpenIdProvider(each, clock) for each in settings.oidc]
        self._verifiers = [
            TokenVerifier(each, provider, clock) for each, provider in zip(settings.oidc, self._providers, strict=True)
        ]
        self._sessions = Sessions(clock)
        self._authenticator = DoorAuthenticator(
            settings.access, StaticTokens(token_files), BearerTokens(self._verifiers), self._sessions
        )
        self._recorder = Recorder(store, clock)
        self._membership = self._make_membership()
        self._relay = RelayService(self._right_of_way)
        self._fleet = JoinedFleet(self._xds, self._membership) if store.shared else self._xds
        self._relay_client = self._make_relay_client(self._edge) if self._edge else None
        self._operations = self._make_operations()
        self._unready: str | None = "starting"

    async def serve(self, stop: asyncio.Event, manager: ServiceManager) -> None:
        """Serve what the store holds, decide while there is a term for it, until `stop`; drain. Raises `Unstartable`.

        The xDS port opens only once a complete snapshot stands: a proxy must never see half of a configuration.
        """
        try:
            view = await self._store.load()
        except StoreLost:  # it is said everywhere; what was served last is served on
            view = self._store.newest()
        reach("start:before")
        async with self._sources.watching():
            self._sources.on_view(view)
            await self._sources.first_read()
            self._publish(view)
            self._replica.on_view(view)
            async with self._ports_open():
                self._unready = None
                self._log_addresses()
                manager.ready()
                await self._run_until(stop, manager)

    async def _run_until(self, stop: asyncio.Event, manager: ServiceManager) -> None:
        """Run everything until `stop`, then end every xDS stream while the decider saves."""
        work = (
            lead(self._store, self._membership.me.instance, self._decide),
            self._membership.run(),
            watch_store(self._store, self._replica, self._publish),
            self._operations.run(),
            self._load_reports.run(),
            probe_store(self._store),
            manager.run(),
            *([self._relay_client.run()] if self._relay_client else []),
            *(provider.run() for provider in self._providers),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            await stop.wait()
            log.info("draining")
            manager.stopping()
            reach("drain:before")
            self._unready = "draining"
            for task in running:
                task.cancel()
            await self._xds.drain()

    async def _decide(self, term: Term) -> None:
        """Do what only the one who decides does, until cancelled; save for the next one, unless the term was lost."""
        # Hooks, notifications and metrics have sessions of their own: none uses up another's connections.
        async with open_session() as hook_session, open_session() as notify_session, open_session() as metric_session:
            custom = self._prometheus(metric_session)
            recipients = self._recipients(notify_session)
            with contextlib.closing(self._hooks(hook_session)) as hooks:
                reports = self._fleet_reports(self._edge) if self._edge else None
                decider = self._decider(term, hooks, custom, reports)
                if reports:
                    decider.write_line(self._membership.term_begun(term))
                    reports.resume(await decider.load_sessions())
                    await self._membership.refresh()
                notifications = Notifications(
                    store=self._store,
                    cursors=self._store,
                    observatory=self._replica,
                    clock=self._clock,
                    meter=self._metrics,
                )
                work = (
                    decider.run(),
                    custom.run(self._replica.view),
                    notifications.run(recipients),
                    self._certificates.record(self._store, term.token),
                    *([reports.run()] if reports else []),
                    *self._followers(),
                )
                try:
                    with self._deciding(decider, reports):
                        async with asyncio.TaskGroup() as tasks:
                            for each in work:
                                tasks.create_task(each)
                finally:
                    if not term.over:
                        await decider.save()
                    self._recorder.forget_all()

    @contextlib.contextmanager
    def _deciding(self, decider: Decider, reports: FleetReports | None) -> Iterator[None]:
        """This controller decides until the end of the block, on what is reported to all of them, if there are more."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._replica.deciding(decider, reports.book if reports else None))
            if reports and isinstance(self._fleet, JoinedFleet):
                stack.enter_context(self._fleet.deciding(reports))
                stack.enter_context(self._relay.deciding(reports))
            yield

    def _fleet_reports(self, edge: EdgeReports) -> FleetReports:
        return FleetReports(edge, self._xds, self._membership, self._replica, self._clock)

    def _relay_state(self) -> Iterator[RelayState]:
        """What there is to say of the relay, where the store is shared."""
        if self._edge and self._relay_client and isinstance(self._fleet, JoinedFleet):
            yield RelayState(self._fleet, self._edge.log, self._relay_client, self._membership)

    def _make_relay_client(self, edge: EdgeReports) -> RelayClient:
        status = EdgeStatus(self._xds, self._replica.view, self._clock)
        tls = self._tls
        return RelayClient(edge, status, self._membership, lambda: tls.channel_credentials() if tls else None)

    def _followers(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The work of applying a folder's service files, if the settings name one."""
        if folder := self._settings.apply_from:
            yield FileFollower(ServiceFolder(folder), self._operations, self._replica.on_files).run()

    def _decider(
        self, term: Term, hooks: HookApprovals, custom: PrometheusPoller, reports: FleetReports | None
    ) -> Decider:
        adapters = Adapters(
            store=self._store,
            clock=self._clock,
            book=reports.book if reports else self._book,
            fleet=self._fleet,
            reports=reports,
            hooks=hooks,
            custom=custom,
            meter=self._metrics,
            tracer=self._tracer,
            right_of_way=self._right_of_way,
            sources=self._sources,
        )
        return Decider(
            adapters,
            self._recorder,
            token=term.token,
            view=self._replica.view,
            on_cycle=self._replica.announce,
            sync_share=self._settings.sync_share,
        )

    def _hooks(self, session: ClientSession) -> HookApprovals:
        return HookApprovals(
            self._settings.hooks,
            session=session,
            clock=self._clock,
            meter=self._metrics,
            on_news=self._replica.wake,
        )

    def _prometheus(self, session: ClientSession) -> PrometheusPoller:
        settings = self._settings
        return PrometheusPoller(
            PrometheusClient(settings.prometheus, session, settings.prometheus_timeout),
            settings.metrics,
            clock=self._clock,
            interval=settings.prometheus_interval,
            on_news=self._replica.wake,
        )

    def _recipients(self, session: ClientSession) -> list[Recipient]:
        """Everyone whom the settings want notified."""
        clock, view = self._clock, self._replica.view
        recipients: list[Recipient] = []
        for name, target in self._settings.notify.items():
            full = f"notify.{name}"
            people = target.url is None
            recipients.append(
                People(full, target) if people else CloudEvents(full, target, session, clock, view().store_id)
            )
        for name, hook in self._settings.hooks.items():
            recipients.append(EventHook(name, hook, session=session, clock=clock, view=view))
        return recipients

    def _make_operations(self) -> Operations:
        settings = self._settings
        allowed = Allowed(
            hooks=settings.hooks,
            metrics=settings.metrics,
            rates=[name for name, metric in settings.metrics.items() if metric.kind == "rate"],
            own=self._own,
            kubernetes=self._kubernetes is not None,
            max_services=settings.max_services,
            max_freezes=settings.max_freezes,
        )
        return Operations(
            self._store,
            self._clock,
            allowed,
            on_outcome=self._metrics.count_command,
            observatory=self._replica,
            right_of_way=self._right_of_way,
        )

    def _make_membership(self) -> Membership:
        settings = self._settings
        me = Member(
            instance=uuid.uuid4().hex,
            name=settings.name,
            since=self._clock.wall(),
            version=__version__,
            records=SCHEMA,
            xds=advertised(settings.xds_listen, settings.advertise),
            admin=advertised(settings.admin_listen, settings.advertise),
            http=advertised(settings.http_listen, settings.advertise),
        )
        view, proxies = self._replica.view, self._xds.proxies
        return Membership(self._store.members, me, revision=lambda: view().revision, proxies=lambda: len(proxies()))

    def _publish(self, view: View) -> None:
        """Serve this view. The load reports are paced first: a canary's first weight must not be reported late."""
        reach("push:before")
        self._load_reports.on_view(view)
        self._proxy_metrics.on_view(view)
        self._sources.on_view(view)
        self._serve_endpoints(view)
        reach("push:after")

    def _serve_endpoints(self, view: View) -> None:
        """Serve this view with the endpoints that its sources have now."""
        with self._tracer.pushing(view.revision):
            self._xds.publish(view, self._sources.sourced)
        self._replica.track_sources(self._sources.empty_clusters, self._sources.unread_clusters)

    def _on_endpoints(self, services: Collection[str], moved: bool) -> None:
        """Something else is known of the sources of these services; `moved`: they have other endpoints."""
        view = self._replica.view()
        if view.store_id and moved:  # before that nothing is served
            self._serve_endpoints(view)
        self._replica.on_endpoints(services)

    @contextlib.asynccontextmanager
    async def _ports_open(self) -> AsyncIterator[None]:
        """The ports of operators open before that of the proxies, and close after it."""
        async with (
            self._doors.http(self._site()),
            self._doors.admin(self._doorkeeper("admin"), self._add_admin),
            self._doors.xds((self._xds, self._load_reports, self._proxy_metrics)),
        ):
            tune_gc()
            yield

    def _add_admin(self, server: grpc.aio.Server) -> Watches:
        server.add_generic_rpc_handlers(self._xds.csds_handlers())
        server.add_generic_rpc_handlers(self._relay.handlers())
        return add_admin(
            server,
            self._operations,
            self._replica,
            self._fleet,
            self._recorder,
            self._membership,
            login=self._login_config(),
        )

    def _site(self) -> web.Application:
        exposition = Exposition(
            self._metrics.registry,
            CurrentState(self._replica, self._xds, self._book, self._metrics, self._store.health),
            CertificateExpiry(self._certificate_expiries),
            ControllersState(self._membership),
            *self._relay_state(),
        )
        reader = ServiceReader(self._operations, self._replica, self._fleet)
        probes = Probes(
            self._why_unready,
            exposition.read,
            reader,
            self._membership.role,
            self._certificates.described,
        )
        return make_http(self._operations, reader, self._doorkeeper("http"), probes, pages=self._pages())

    def _login_config(self) -> LoginConfig:
        """What `haldane login` asks for: of the issuer that has a client, of which there is one at most."""
        for each in self._settings.oidc:
            if client := each.device_client:
                return LoginConfig(each.issuer, client, each.audience, each.scopes)
        return LoginConfig()

    def _pages(self) -> list[Route]:
        """The console, and the login if an issuer has a client for it."""
        issuers = zip(self._settings.oidc, self._providers, self._verifiers, strict=True)
        logins = [Login(*each, self._sessions) for each in issuers if each[0].client_id]
        console = console_routes(
            self._operations,
            self._replica,
            self._fleet,
            ready=self._why_unready,
            caller_of=caller_of_request,
            membership=self._membership,
            login_path=LOGIN_PATH if logins else "",
        )
        return [*console, *(route for login in logins for route in login.routes())]

    def _certificate_expiries(self) -> Mapping[str, float]:
        return self._tls.expiries() if self._tls else {}

    def _doorkeeper(self, door: str) -> Doorkeeper:
        return Doorkeeper(door, self._authenticator, self._metrics)

    def _why_unready(self) -> str | None:
        """Why this controller should not be relied on now; None if it can."""
        problem = self._store.health.problem
        return self._unready or (f"store: {problem}" if problem else None)

    def _log_addresses(self) -> None:
        log.info(
            "serving",
            xds=self._settings.xds_listen,
            admin=self._settings.admin_listen,
            http=f"{'https' if self._tls else 'http'}://{self._settings.http_listen}",
            socket=self._settings.admin_socket,
            access=f"{len(self._settings.access)} bindings" if self._settings.access else "whoever reaches a door",
            store=self._settings.store,
        )


async def run(settings: Settings, shares: DescriptorShares, *, init: bool) -> None:
    """Run a controller until SIGTERM or SIGINT. Raises `Unstartable`."""
    clock = SystemClock()
    if settings.fault_points:
        log.warning("test_mode", fault_points=settings.fault_points)
        arm(read_faults(settings.fault_points))
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    store = await open_store(settings, clock, init=init)
    try:
        async with opened_traces(settings, clock) as tracer:
            controller = _controller(settings, store, clock, shares, tracer)
            await controller.serve(stop, ServiceManager.of_environment(os.environ))
    finally:
        await store.close()


def _controller(
    settings: Settings, store: Backend, clock: SystemClock, shares: DescriptorShares, tracer: DecisionTracer
) -> Controller:
    try:
        return Controller(settings, store, clock, shares, tracer)
    except Refusal as refusal:
        raise Unstartable(refusal.message) from refusal


def serve(settings: Settings, *, init: bool) -> int:
    """`haldane serve`: the exit code. With `init` a store is made where there is none, although one was."""
    configure_logs(settings.log_level)
    shares = share_descriptors(raise_descriptor_limit())
    try:
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(run(settings, shares, init=init))
    except Unstartable as error:
        log.error("cannot_start", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    log.info("stopped")
    return 0
