"""The admin API, `haldane.admin.v1`: gRPC services over `Operations`, the observatory and the fleet."""

from collections.abc import AsyncGenerator, Callable, Mapping

import grpc
import structlog

from controller.admin.access_api import Access
from controller.admin.controllers_api import Controllers
from controller.admin.explanations import Explanations
from controller.admin.grpc_handlers import Handlers, handlers
from controller.admin.guard import OTHERS
from controller.admin.messages import (
    event_message,
    exclusion_message,
    freeze_message,
    judged_message,
    paced_message,
    proxy_message,
    stranger_message,
    unreached_message,
    unseen_message,
)
from controller.admin.request_fields import FieldErrors, after_of, mode_of, scopes_of, ttl_of
from controller.admin.request_scopes import declared_permission
from controller.admin.service_reader import ServiceReader
from controller.admin.watch_streams import Watches
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.control.commands import Command, Verb
from controller.core.control.request_validation import freeze_violations, unfreeze_violations
from controller.core.model.freeze import ALL, Mode
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.view import View
from controller.core.servicefile.notes import notes
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.relay.v1 import relay_pb2 as relay
from controller.ports.fleet import Fleet
from controller.ports.login_config import LoginConfig
from controller.ports.observatory import Observatory
from controller.ports.recordings import Recordings
from controller.runtime.declarations import Declared
from controller.runtime.membership import Membership
from controller.runtime.operations import Operations
from controller.runtime.store_requests import find_state

log = structlog.get_logger()

SERVICES = pb.DESCRIPTOR.services_by_name
SERVICE_NAMES = tuple(service.full_name for service in SERVICES.values())
"""For reflection and health."""
PERMISSIONS: Mapping[str, Permission] = {
    **{
        f"/{service.full_name}/{method.name}": declared_permission(method)
        for service in (*SERVICES.values(), *relay.DESCRIPTOR.services_by_name.values())
        for method in service.methods
    },
    **OTHERS,
}
"""Every method on the admin port -> what it asks of a caller."""
PAGE = 1000
"""Lines of the ledger in one answer at most; `after` asks for the next ones."""


def add_admin(  # noqa: PLR0913  # what the services show comes from seven places
    server: grpc.aio.Server,
    operations: Operations,
    observatory: Observatory,
    fleet: Fleet,
    recordings: Recordings,
    membership: Membership,
    login: LoginConfig | None = None,
) -> Watches:
    """Add the admin API to a server. Returns its watches, which end when they are drained."""
    watches = Watches(observatory)
    reader = ServiceReader(operations, observatory, fleet)
    explanations = Explanations(operations, reader, recordings)
    server.add_generic_rpc_handlers(
        (
            Catalog(operations, reader).handlers(),
            Rollouts(operations, reader, watches, explanations).handlers(),
            KillSwitch(operations, reader).handlers(),
            Proxies(operations, fleet, reader).handlers(),
            Ledger(operations, reader, watches, explanations).handlers(),
            Access(login or LoginConfig()).handlers(),
            Controllers(membership).handlers(),
        )
    )
    return watches


class Catalog:
    """What is served, by which versions, under which policy."""

    def __init__(self, operations: Operations, reader: ServiceReader) -> None:
        self._operations = operations
        self._reader = reader

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        return handlers(
            SERVICES["Catalog"],
            {
                "ApplyService": self.apply,
                "ApplyServices": self.apply_all,
                "GetService": self.get,
                "ListServices": self.list,
                "DeleteService": self.delete,
            },
        )

    async def apply(self, request: pb.ApplyServiceRequest, caller: Caller) -> pb.ApplyServiceResponse:
        """Declare or change a service."""
        state, unchanged = await self._operations.apply(
            request.yaml,
            who=caller.actor,
            reason=request.reason,
            request_id=request.request_id,
            dry_run=request.dry_run,
            permit=_applies(caller),
        )
        await self._reader.refresh([state.name])
        return self._applied(Declared(state, unchanged), self._reader.newest())

    async def apply_all(self, request: pb.ApplyServicesRequest, caller: Caller) -> pb.ApplyServicesResponse:
        """Declare or change many services, or none if one of the files cannot be applied."""
        declared = await self._operations.apply_all(
            request.yaml,
            who=caller.actor,
            reason=request.reason,
            request_id=request.request_id,
            dry_run=request.dry_run,
            permit=_applies(caller),
        )
        await self._reader.refresh(each.state.name for each in declared)
        view = self._reader.newest()
        return pb.ApplyServicesResponse(applied=[self._applied(each, view) for each in declared])

    def _applied(self, declared: Declared, view: View) -> pb.ApplyServiceResponse:
        return pb.ApplyServiceResponse(
            service=self._reader.service(declared.state, view),
            unchanged=declared.unchanged,
            notes=[f"{note.field}: {note.message}" for note in notes(declared.state.spec)],
        )

    async def get(self, request: pb.GetServiceRequest, _caller: Caller) -> pb.Service:
        """One service, with its file."""
        view = await self._reader.view()
        state = find_state(view, request.service)
        await self._reader.refresh([state.name])
        return self._reader.service(state, view)

    async def list(self, _request: pb.ListServicesRequest, caller: Caller) -> pb.ListServicesResponse:
        """Every service by name, without the files, and the records that cannot be read."""
        view = await self._reader.view()
        states = sorted((s for s in view.services.values() if caller.visible([s.name])), key=lambda state: state.name)
        await self._reader.refresh(state.name for state in states)
        services = [self._reader.service(state, view, source=False) for state in states]
        return pb.ListServicesResponse(
            services=services,
            broken={name: why for name, why in view.broken.items() if caller.visible([name])},
            store_problem=self._reader.store_problem,
            files=self._reader.file_problems if caller.may(Permission.VIEW, ALL) else {},
        )

    async def delete(self, request: pb.DeleteServiceRequest, caller: Caller) -> pb.DeleteServiceResponse:
        """Stop serving a service."""
        revision = await self._operations.delete(
            request.service, who=caller.actor, reason=request.reason, request_id=request.request_id
        )
        return pb.DeleteServiceResponse(revision=revision)


class Rollouts:
    """The move of traffic from stable to canary."""

    def __init__(
        self, operations: Operations, reader: ServiceReader, watches: Watches, explanations: Explanations
    ) -> None:
        self._operations = operations
        self._reader = reader
        self._watches = watches
        self._explanations = explanations

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        return handlers(
            SERVICES["Rollouts"],
            {
                "StartCanary": self.start,
                "GetRollout": self.get,
                "ListRollouts": self.list,
                "Pause": self.pause,
                "Resume": self.resume,
                "Approve": self.approve,
                "Promote": self.promote,
                "Rollback": self.rollback,
                "Divert": self.divert,
                "Restore": self.restore,
                "ExplainRollout": self._explanations.explain,
            },
            {"WatchRollout": self.watch},
        )

    async def start(self, request: pb.StartCanaryRequest, caller: Caller) -> pb.Rollout:
        """Start a rollout at the first step."""
        return await self._act(request, Command(Verb.START, request.reason, canary=request.canary), caller)

    async def pause(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """Let automation wait; protection stays on."""
        return await self._act(request, _command(Verb.PAUSE, request), caller)

    async def resume(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """Let automation go on."""
        return await self._act(request, _command(Verb.RESUME, request), caller)

    async def approve(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """Approve the next weight."""
        return await self._act(request, _command(Verb.APPROVE, request), caller)

    async def promote(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """All traffic to the canary, now."""
        return await self._act(request, _command(Verb.PROMOTE, request), caller)

    async def rollback(self, request: pb.RollbackRequest, caller: Caller) -> pb.Rollout:
        """All traffic to the stable, now."""
        return await self._act(request, Command(Verb.ROLLBACK, request.reason, force=request.force), caller)

    async def divert(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """All traffic to the declared fallback, now."""
        return await self._act(request, _command(Verb.DIVERT, request), caller)

    async def restore(self, request: pb.RolloutRequest, caller: Caller) -> pb.Rollout:
        """The traffic back from the fallback."""
        return await self._act(request, _command(Verb.RESTORE, request), caller)

    async def get(self, request: pb.GetRolloutRequest, _caller: Caller) -> pb.Rollout:
        """A service's rollout; IDLE if there never was one."""
        view = await self._reader.view()
        state = find_state(view, request.service)
        await self._reader.refresh([state.name])
        return self._reader.rollout(state, view)

    async def list(self, _request: pb.ListRolloutsRequest, caller: Caller) -> pb.ListRolloutsResponse:
        """The rollouts of all services that ever had one."""
        view = await self._reader.view()
        states = sorted(view.services.values(), key=lambda state: state.name)
        shown = [state for state in states if state.rollout and caller.visible([state.name])]
        await self._reader.refresh(state.name for state in shown)
        return pb.ListRolloutsResponse(rollouts=[self._reader.rollout(state, view) for state in shown])

    async def watch(self, request: pb.WatchRolloutRequest, caller: Caller) -> AsyncGenerator[pb.Rollout, None]:
        """The rollout now, then each time that it changes; a slow reader skips to the newest."""
        view, sent, seen = await self._reader.view(), pb.Rollout(), 0
        with self._watches.one(caller.actor.name):
            while True:
                state = find_state(view, request.service)
                await self._reader.refresh([state.name])
                message = self._reader.rollout(state, view)
                if _has_changed(message, sent):
                    yield message
                    sent = message
                seen = await self._watches.next(seen)
                # What is served may for a moment be older than what was read from the store.
                if self._reader.served().revision >= view.revision:
                    view = self._reader.served()

    async def _act(
        self, request: pb.StartCanaryRequest | pb.RolloutRequest | pb.RollbackRequest, command: Command, caller: Caller
    ) -> pb.Rollout:
        state = await self._operations.act(request.service, command, who=caller.actor, request_id=request.request_id)
        return self._reader.rollout(state, self._reader.newest())


class KillSwitch:
    """While a freeze is in force, no weight moves, except by an operator's forced rollback."""

    def __init__(self, operations: Operations, reader: ServiceReader) -> None:
        self._operations = operations
        self._reader = reader

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        return handlers(
            SERVICES["KillSwitch"], {"Freeze": self.freeze, "Unfreeze": self.unfreeze, "ListFreezes": self.list}
        )

    async def freeze(self, request: pb.FreezeRequest, caller: Caller) -> pb.FreezeResponse:
        """Freeze; the answer comes once it is durable."""
        wrong = FieldErrors()
        scopes: tuple[str, ...] = wrong.read(lambda: scopes_of(request.services, request.all), (ALL,))
        ttl = wrong.read(lambda: ttl_of(request.ttl), None)
        mode = wrong.read(lambda: mode_of(request.mode), Mode.FREEZE)
        wrong.raise_if_any(also=freeze_violations(scopes, request.reason, ttl))
        freezes, revision = await self._operations.freeze(
            scopes, who=caller.actor, reason=request.reason, ttl=ttl, mode=mode, request_id=request.request_id
        )
        return pb.FreezeResponse(freezes=map(freeze_message, freezes), revision=revision)

    async def unfreeze(self, request: pb.UnfreezeRequest, caller: Caller) -> pb.UnfreezeResponse:
        """Lift freezes."""
        wrong = FieldErrors()
        scopes: tuple[str, ...] = wrong.read(lambda: scopes_of(request.services, request.all), (ALL,))
        wrong.raise_if_any(also=unfreeze_violations(scopes, request.reason))
        lifted = await self._operations.unfreeze(
            scopes,
            who=caller.actor,
            reason=request.reason,
            request_id=request.request_id,
            may_lift=caller.may_lift,
        )
        return pb.UnfreezeResponse(
            lifted=map(freeze_message, lifted.freezes),
            revision=lifted.revision,
            standing=map(freeze_message, lifted.standing),
        )

    async def list(self, _request: pb.ListFreezesRequest, caller: Caller) -> pb.ListFreezesResponse:
        """The freezes in force."""
        view = await self._reader.view()
        shown = [freeze for freeze in view.freezes if caller.visible([freeze.scope])]
        return pb.ListFreezesResponse(freezes=map(freeze_message, shown), store_problem=self._reader.store_problem)


class Proxies:
    """The proxies of all controllers that share the store."""

    def __init__(self, operations: Operations, fleet: Fleet, reader: ServiceReader) -> None:
        self._exclusions = operations.exclusions
        self._fleet = fleet
        self._reader = reader

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        return handlers(
            SERVICES["Fleet"],
            {
                "ListProxies": self.list,
                "Retry": self.retry,
                "ExcludeProxy": self.exclude,
                "IncludeProxy": self.include,
            },
        )

    async def list(self, _request: pb.ListProxiesRequest, _caller: Caller) -> pb.ListProxiesResponse:
        """Every connected proxy, and who reports without being one."""
        await self._fleet.refresh()
        return pb.ListProxiesResponse(
            proxies=map(proxy_message, self._fleet.proxies()),
            strangers=map(stranger_message, self._fleet.strangers()),
            exclusions=map(exclusion_message, self._reader.newest().exclusions),
            unseen=map(unseen_message, self._fleet.unseen()),
            judged=judged_message(self._fleet.judged),
            paced=paced_message(self._fleet.paced),
        )

    async def exclude(self, request: pb.ExcludeProxyRequest, caller: Caller) -> pb.ExcludeProxyResponse:
        """Serve a proxy, and neither judge what it reports nor wait for it."""
        revision = await self._exclusions.exclude(
            request.node, who=caller.actor, reason=request.reason, request_id=request.request_id
        )
        return pb.ExcludeProxyResponse(revision=revision)

    async def include(self, request: pb.IncludeProxyRequest, caller: Caller) -> pb.IncludeProxyResponse:
        """Judge and wait for a proxy again."""
        revision = await self._exclusions.include(
            request.node, who=caller.actor, reason=request.reason, request_id=request.request_id
        )
        return pb.IncludeProxyResponse(revision=revision)

    async def retry(self, request: pb.RetryRequest, caller: Caller) -> pb.RetryResponse:
        """Send proxies once more what they NACKed of a service, or of every one. It moves no weight."""
        if request.service:
            find_state(await self._reader.view(), request.service)
        retried = await self._fleet.retry_everywhere(request.service, caller.actor.name)
        unreached = [each.controller for each in retried.unreached]
        log.info(
            "retried",
            service=request.service or ALL,
            who=caller.actor.name,
            nodes=retried.nodes,
            **({"unreached": unreached} if unreached else {}),
        )
        return pb.RetryResponse(nodes=retried.nodes, unreached=map(unreached_message, retried.unreached))


class Ledger:
    """Every act, in order, with who and why."""

    def __init__(
        self, operations: Operations, reader: ServiceReader, watches: Watches, explanations: Explanations
    ) -> None:
        self._operations = operations
        self._reader = reader
        self._watches = watches
        self._explanations = explanations

    def handlers(self) -> Handlers:
        """For a gRPC server."""
        return handlers(
            SERVICES["Ledger"],
            {"ListEvents": self.list, "GetRecording": self._explanations.recording},
            {"WatchEvents": self.watch},
        )

    async def list(self, request: pb.ListEventsRequest, caller: Caller) -> pb.ListEventsResponse:
        """Lines after `after` that the caller may see, oldest first; at most a page."""
        limit, after = min(request.limit or PAGE, PAGE), after_of(request.after)
        shown: list[LedgerLine] = []
        while True:
            lines = await self._operations.events(service=request.service, after=after, limit=limit)
            shown += [line for line in lines if caller.visible(line.entry.services)]
            if len(lines) < limit or len(shown) >= limit:
                return pb.ListEventsResponse(events=map(event_message, shown[:limit]))
            after = lines[-1].sequence

    async def watch(self, request: pb.WatchEventsRequest, caller: Caller) -> AsyncGenerator[pb.Event, None]:
        """The lines after `after`, then each new one."""
        after, seen, read = after_of(request.after), 0, -1
        with self._watches.one(caller.actor.name):
            while True:
                revision = self._reader.served().revision
                if revision > read:
                    lines = await self._operations.events(service=request.service, after=after, limit=PAGE)
                    for line in lines:
                        if caller.visible(line.entry.services):
                            yield event_message(line)
                        after = line.sequence
                    read = revision if len(lines) < PAGE else read
                if read == revision:
                    seen = await self._watches.next(seen)


def _applies(caller: Caller) -> Callable[[str], None]:
    """Refuses a service that the caller may not declare."""
    return lambda service: caller.require(Permission.APPLY, (service,))


def _command(verb: Verb, request: pb.RolloutRequest) -> Command:
    return Command(verb, request.reason, expected_canary=request.canary, weight=request.weight)


def _has_changed(message: pb.Rollout, sent: pb.Rollout) -> bool:
    """Whether anything but the time of the last tick, and as of when that is known, has changed."""
    same = pb.Rollout()
    same.CopyFrom(message)
    same.updated_at = sent.updated_at
    if same.HasField("judged"):
        same.judged.as_of = sent.judged.as_of
    return same != sent
