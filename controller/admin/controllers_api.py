"""The controllers that share the store: `haldane.admin.v1.Controllers`."""

from collections.abc import Iterator

from controller.admin.grpc_handlers import Handlers, handlers
from controller.core.access.caller import Caller
from controller.core.model.roster import Roster
from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.runtime.membership import Membership


class Controllers:
    """Says who there is, and who decides."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        service = pb.DESCRIPTOR.services_by_name["Controllers"]
        return handlers(service, {"ListControllers": self.list})

    async def list(self, _request: pb.ListControllersRequest, _caller: Caller) -> pb.ListControllersResponse:
        """As the store has it; while it is away what was known last, with the reason."""
        problem = ""
        try:
            roster = await self._membership.roster()
        except StoreLost as lost:
            roster, problem = self._membership.known, str(lost)
        return pb.ListControllersResponse(controllers=_messages(roster), store_problem=problem)


def _messages(roster: Roster) -> Iterator[pb.Controller]:
    for each in roster.members:
        leader = roster.leader if roster.leads(each) else None
        yield pb.Controller(
            name=each.name,
            leader=leader is not None,
            since=leader.since if leader else each.since,
            term=leader.token if leader else 0,
            revision=each.revision,
            version=each.version,
            proxies=each.proxies,
            xds=each.xds,
            admin=each.admin,
            http=each.http,
            records=each.records,
            writes=each.writes,
        )
