"""What the doors show of a service: what is stored, and beside it what is known only here and now."""

from controller.admin.messages import rollout_message, service_message
from controller.core.base.errors import Refusal
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import Fleet
from controller.ports.observatory import Observatory
from controller.runtime.operations import Operations
from controller.runtime.service_view import ServiceView


class Looks:
    """The store, the observatory and the fleet, looked at as one."""

    def __init__(self, operations: Operations, observatory: Observatory, fleet: Fleet) -> None:
        self._operations = operations
        self._observatory = observatory
        self._fleet = fleet

    async def view(self) -> View:
        """The store's newest view, so that whoever asks after an act sees it; the served one if the store is away."""
        try:
            return await self._operations.view()
        except Refusal:
            return self._observatory.view()

    def served(self) -> View:
        """The view that is being served."""
        return self._observatory.view()

    def rollout(self, state: ServiceState, view: View) -> pb.Rollout:
        """The service's rollout as it stands."""
        return rollout_message(ServiceView.of(state, view, self._observatory, self._fleet))

    def service(self, state: ServiceState, view: View, *, source: bool = True) -> pb.Service:
        """The service as it stands."""
        return service_message(ServiceView.of(state, view, self._observatory, self._fleet), source=source)
