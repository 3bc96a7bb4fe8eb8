"""This controller among those that share its store: who is there, whose proxies, the relay of their reports, and what
operators see of what another one knows."""

import contextlib
import uuid
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import grpc

from controller import __version__
from controller.assembly.base import Base
from controller.assembly.proxy_services import ProxyServices
from controller.core.model.member import Member
from controller.core.model.service_state import SCHEMA
from controller.monitoring.relay_state import RelayState
from controller.ports.fleet import Fleet
from controller.ports.observatory import Observatory
from controller.ports.recordings import Recordings
from controller.process.host_name import advertised
from controller.relay.peer_client import PeerClient
from controller.relay.peer_service import PeerService
from controller.relay.relay_client import RelayClient
from controller.relay.relay_service import RelayService
from controller.runtime.decider import Decider
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.edge_status import EdgeStatus
from controller.runtime.fleet_reports import FleetReports
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.joined_observatory import JoinedObservatory
from controller.runtime.joined_recordings import JoinedRecordings
from controller.runtime.membership import Membership
from controller.runtime.peer_answers import PeerAnswers


class Peers:
    """The membership, and where the store is shared also the relay; a controller by itself has no relay."""

    def __init__(
        self,
        base: Base,
        proxies: ProxyServices,
        credentials: Callable[[], grpc.ChannelCredentials | None],
        me: Member | None = None,
    ) -> None:
        """`credentials` are those for connections to other controllers; `me` describes this process to them, unless it
        is as the settings have it."""
        self._base = base
        self._proxies = proxies
        self.membership = _membership(base, proxies, me or _member(base))
        self._relay_service = RelayService(proxies.xds.right_of_way)
        self._relay = _Relay(base, proxies, proxies.edge, self.membership, credentials) if proxies.edge else None

    @property
    def fleet(self) -> Fleet:
        """The proxies as operators see them and as ticks count them."""
        return self._relay.fleet if self._relay else self._proxies.xds

    @property
    def observatory(self) -> Observatory:
        """What operators see of the services."""
        return self._relay.observatory if self._relay else self._base.replica

    def recordings(self, own: Recordings) -> Recordings:
        """The recordings that operators see; `own` are those of the rollouts that this controller judges."""
        return JoinedRecordings(own, self._relay.judge, self._base.replica) if self._relay else own

    def handlers(self, recordings: Recordings) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the admin port: what other controllers call. `recordings` are as above."""
        answers = PeerAnswers(self._base.replica, self.fleet, recordings)
        service = PeerService(answers, self._proxies.xds.right_of_way)
        return (*self._relay_service.handlers(), *service.handlers())

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs while the controller does."""
        yield self.membership.run()
        if self._relay:
            yield self._relay.client.run()
            yield self._relay.peers.run()

    def states(self) -> Iterator[RelayState]:
        """What there is to say of the relay, where the store is shared."""
        if self._relay:
            yield self._relay.state

    def fleet_reports(self) -> FleetReports | None:
        """For a term: what the proxies of all controllers report, where the store is shared."""
        edge = self._proxies.edge
        if edge is None:
            return None
        return FleetReports(edge, self._proxies.xds, self.membership, self._base.replica, self._base.clock)

    @contextlib.contextmanager
    def deciding(self, decider: Decider, reports: FleetReports | None) -> Iterator[None]:
        """This controller decides until the end of the block, on what is reported to all of them, if there are more."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._base.replica.deciding(decider, reports.book if reports else None))
            if reports and self._relay:
                stack.enter_context(self._relay.fleet.deciding(reports))
                stack.enter_context(self._relay_service.deciding(reports))
            yield


class _Relay:
    """What passes this controller's reports on, joins the proxies of all, and shows what another one judges."""

    def __init__(
        self,
        base: Base,
        proxies: ProxyServices,
        edge: EdgeReports,
        membership: Membership,
        credentials: Callable[[], grpc.ChannelCredentials | None],
    ) -> None:
        self.peers = PeerClient(credentials)
        self.judge = FollowedJudge(self.peers, membership, base.clock)
        self.observatory = JoinedObservatory(base.replica, self.judge, membership, base.clock)
        self.fleet = JoinedFleet(proxies.xds, membership, self.peers, self.judge, base.clock)
        status = EdgeStatus(proxies.xds, base.replica.view, base.clock)
        self.client = RelayClient(edge, status, membership, credentials)
        self.state = RelayState(self.fleet, edge.log, self.client, membership)


def _membership(base: Base, proxies: ProxyServices, me: Member) -> Membership:
    view, xds = base.replica.view, proxies.xds
    return Membership(base.store.members, me, revision=lambda: view().revision, proxies=lambda: xds.connected)


def _member(base: Base) -> Member:
    settings = base.settings
    return Member(
        instance=uuid.uuid4().hex,
        name=settings.name,
        since=base.clock.wall(),
        version=__version__,
        records=SCHEMA,
        xds=advertised(settings.xds_listen, settings.advertise),
        admin=advertised(settings.admin_listen, settings.advertise),
        http=advertised(settings.http_listen, settings.advertise),
    )
