"""What the APIs show of a service: what is stored, and what is known now besides."""

from collections.abc import Iterable, Mapping

from controller.admin.messages import rollout_message, service_message
from controller.core.base.errors import Refusal
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import Fleet
from controller.ports.observatory import Observatory
from controller.runtime.operations import Operations
from controller.runtime.service_view import ServiceView


class ServiceReader:
    """Reads the store, the observatory and the fleet as one."""

    def __init__(self, operations: Operations, observatory: Observatory, fleet: Fleet) -> None:
        self._operations = operations
        self._observatory = observatory
        self._fleet = fleet

    async def view(self) -> View:
        """The store's newest view, so that a client sees its own change. While the store is away it is the served one,
        at once if that is known."""
        if self._operations.is_unread:
            return self._observatory.view()
        try:
            return await self._operations.view()
        except Refusal:
            return self._observatory.view()

    async def refresh(self, services: Iterable[str]) -> None:
        """Bring what is shown of these services up to date, where another controller knows it. Raises nothing."""
        await self._observatory.refresh(tuple(services))

    def newest(self) -> View:
        """The newest view that is known here, at once: it has what this controller has just stored."""
        return self._operations.newest()

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand, each with the reason."""
        return self._fleet.problems

    @property
    def store_problem(self) -> str:
        """Why not everything can be stored now, or nothing read; empty while all is well. What is shown is served."""
        return self._operations.store_problem

    @property
    def file_problems(self) -> Mapping[str, str]:
        """Of the folder whose service files are applied: by file, what is wrong with it."""
        return {name: problem.text for name, problem in self._observatory.files().problems.items()}

    def served(self) -> View:
        """The view that is being served."""
        return self._observatory.view()

    def rollout(self, state: ServiceState, view: View) -> pb.Rollout:
        """The service's rollout as it stands."""
        return rollout_message(ServiceView.of(state, view, self._observatory, self._fleet))

    def service(self, state: ServiceState, view: View, *, source: bool = True) -> pb.Service:
        """The service as it stands."""
        message = service_message(ServiceView.of(state, view, self._observatory, self._fleet), source=source)
        message.store_problem = self.store_problem
        return message
