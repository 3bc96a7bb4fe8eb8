"""What operators can do: each act is decided by the core on the newest view, and applied by the store.

The APIs (gRPC, HTTP) translate to these and back; nothing here knows which one a request came through.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import NamedTuple

from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.base.units import counted
from controller.core.control.changes import Origin, change_of, fingerprint_of
from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision
from controller.core.control.request_validation import (
    freeze_violations,
    unfreeze_violations,
    validate_reason,
)
from controller.core.judge.verdict import Verdict
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.followed import Followed
from controller.core.model.freeze import ALL, Act, Freeze, Mode, describe_remaining, first_over_limit, freezes_over
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.observatory import Observatory
from controller.ports.store import Store
from controller.process.fault_points import reach
from controller.process.right_of_way import RightOfWay
from controller.runtime.allowed import Allowed
from controller.runtime.declarations import Declarations, Declared, ReadFile, digest_of
from controller.runtime.exclusions import Exclusions
from controller.runtime.outcome_counter import OutcomeCounter
from controller.runtime.store_requests import StoreRequests, find_state, new_change_id

OBSERVED_WITHIN = 0.5
"""Seconds for which an act waits for what the controller that decides knows of the service: then it goes by what is
known here."""
ROLLBACK_ATTEMPTS = 5
"""How often a rollback is tried while it loses races."""


class Lifted(NamedTuple):
    """The outcome of an unfreeze: what it lifted, what still stands over these services, and the revision."""

    freezes: tuple[Freeze, ...]
    standing: tuple[Freeze, ...]
    revision: int


class Operations:
    """The operator's acts. Every method raises `Refusal`; what it returns is durable.

    `on_outcome` is called once for each service and decision that an operator's command led to; if its answer was
    lost, while `run` runs. Without an `observatory`, acts go only by the stored state.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        allowed: Allowed | None = None,
        on_outcome: Callable[[str, Decision], None] = lambda _service, _decision: None,
        observatory: Observatory | None = None,
        right_of_way: RightOfWay | None = None,
    ) -> None:
        self._right_of_way = right_of_way
        self._requests = StoreRequests(store)
        self._clock = clock
        self._allowed = allowed or Allowed()
        self._declarations = Declarations(self._requests, self._allowed)
        self.exclusions = Exclusions(self._requests, clock)
        """Its acts on proxies."""
        self._outcomes = OutcomeCounter(store, on_outcome)
        self._observatory = observatory

    async def run(self) -> None:
        """Find out what became of the commands whose answers were lost, until cancelled."""
        await self._outcomes.run()

    async def apply(
        self,
        text: str,
        *,
        who: Actor,
        reason: str = "",
        request_id: str = "",
        dry_run: bool = False,
        permit: Callable[[str], None] = lambda _service: None,
    ) -> Declared:
        """Declare or change a service (`Declarations`)."""
        return await self._declarations.apply(
            text, who=who, reason=reason, request_id=request_id, dry_run=dry_run, permit=permit
        )

    async def apply_all(
        self,
        texts: Sequence[str],
        *,
        who: Actor,
        reason: str = "",
        request_id: str = "",
        dry_run: bool = False,
        permit: Callable[[str], None] = lambda _service: None,
    ) -> list[Declared]:
        """Declare or change many services, or none if a file cannot be applied (`Declarations`)."""
        return await self._declarations.apply_all(
            texts, who=who, reason=reason, request_id=request_id, dry_run=dry_run, permit=permit
        )

    def read(self, text: str, known: dict[str, ReadFile | Refusal]) -> ReadFile | Refusal:
        """The service file of that text, or why it is not right by itself; `known` has, by digest, what was read
        before."""
        digest = digest_of(text)
        if digest not in known:
            try:
                known[digest] = self._declarations.read(text)
            except Refusal as refusal:
                known[digest] = refusal
        return known[digest]

    async def follow(self, files: Mapping[str, ReadFile], actor_of: Callable[[str], Actor]) -> dict[str, Refusal]:
        """Declare services after files of a folder (`Declarations`)."""
        return await self._declarations.follow(files, actor_of, self._clock.wall())

    async def note_followed(self, service: str, followed: Followed, *, who: Actor, reason: str) -> int:
        """Store what is followed of a folder for a service, and nothing else; the revision."""
        state = find_state(await self.view(), service)
        entry = Entry(
            kind=LedgerKind.SERVICE_APPLIED,
            services=(service,),
            who=who.name,
            proof=who.proof,
            why=reason,
            weights_before=state.weights,
            weights_after=state.weights,
        )
        change = Change(
            id=new_change_id(""),
            fingerprint=fingerprint_of("follow", service, followed.digest, followed.canary),
            act=Act.RECORD,
            entry=entry,
            service=service,
            expects=state.revision,
            state=state.model_copy(update={"followed": followed}),
        )
        return await self._requests.command(change)

    async def delete(self, service: str, *, who: Actor, reason: str = "", request_id: str = "") -> int:
        """Stop serving a service and return the revision. Refused while a rollout of it runs."""
        why = validate_reason(reason)
        fingerprint = fingerprint_of("delete", service)
        if done := await self._requests.applied_at(request_id, fingerprint):
            return done
        state = find_state(await self.view(), service)
        if state.rollout and state.rollout.running:
            raise Refusal(Code.IN_USE, f"a rollout of {service} is {state.rollout.phase}: end it first")
        change = Change(
            id=new_change_id(request_id),
            fingerprint=fingerprint,
            act=Act.DELETE,
            entry=Entry(
                kind=LedgerKind.SERVICE_DELETED,
                services=(service,),
                who=who.name,
                proof=who.proof,
                why=why,
                weights_before=state.weights,
            ),
            service=service,
            expects=state.revision,
            delete=True,
        )
        return await self._requests.command(change)

    async def act(self, service: str, command: Command, *, who: Actor, request_id: str = "") -> ServiceState:
        """Start, pause, resume, approve, promote or roll back, and return the service's state after it.

        A rollback that loses a race is tried again, since it is safe whatever came first; nothing else is.
        """
        command = replace(command, reason=validate_reason(command.reason), rollout_id=uuid.uuid4().hex)
        if command.force and not command.reason:
            raise invalid([Violation("reason", "a forced rollback needs a reason")])
        fingerprint = fingerprint_of(
            "act", service, command.verb, command.canary, str(command.force), *_expected_fields(command)
        )
        if done := await self._requests.applied_at(request_id, fingerprint):
            return await self._requests.state_at(service, done)
        attempts = ROLLBACK_ATTEMPTS if command.verb is Verb.ROLLBACK else 1
        await self._refresh(service)
        for left in reversed(range(attempts)):
            state = find_state(await self.view(), service)
            if command.verb is Verb.START and (unknown := self._allowed.policy_violations(state.spec)):
                missing = "; ".join(violation.message for violation in unknown)
                raise Refusal(Code.NOT_POSSIBLE, f"the policy of {service} cannot be kept: {missing}")
            verdict, no_upstream = self._observe(state)
            unresolved = self._unresolved(state, command.canary)
            now = self._clock.wall()
            decision = execute(
                state, command, now, stable_has_no_upstream=no_upstream, canary_lacks_upstream=unresolved
            )
            recorded = None if command.verb is Verb.START else verdict
            change = change_of(state, decision, Origin(who, new_change_id(request_id), fingerprint), recorded)
            try:
                return await self._requests.state_at(service, await self._apply_decision(change, decision))
            except Refusal as refusal:
                if refusal.code is not Code.CONFLICT or not left:
                    raise
        raise AssertionError("unreachable")

    async def freeze(
        self,
        scopes: Sequence[str],
        *,
        who: Actor,
        reason: str,
        ttl: float | None = None,
        mode: Mode = Mode.FREEZE,
        request_id: str = "",
    ) -> tuple[tuple[Freeze, ...], int]:
        """Freeze services ("*" for all) and return the freezes and the revision, once durable.

        Each stands by itself among those that are there, so no freeze is ended or weakened by another one. The same
        person's freeze for the same reason, and ending no earlier, renews the one before.
        """
        violations = freeze_violations(scopes, reason, ttl)
        if violations:
            raise invalid(violations)
        why = validate_reason(reason)
        # Nothing is read from the disk first. The freeze goes before all that waits for the disk; between a read and
        # the freeze, a waiting advance could be committed.
        view = self._requests.newest()
        for scope in scopes:
            if scope != ALL:
                find_state(view, scope)
        now = self._clock.wall()
        until = None if ttl is None else now + ttl
        freezes = tuple(
            Freeze(scope=scope, mode=mode, reason=why, who=who.name, proof=who.proof, since=now, until=until)
            for scope in sorted(set(scopes))
        )
        fingerprint = fingerprint_of("freeze", *sorted(set(scopes)), why, str(ttl), mode)
        one = first_over_limit(view.freezes, freezes, self._allowed.max_freezes)
        if one and not await self._requests.applied_at(request_id, fingerprint):
            whose = f"a {one.mode} of {'all services' if one.scope == ALL else one.scope}"
            limit = f"max_freezes allows {counted(self._allowed.max_freezes, 'freeze or hold', 'freezes and holds')}"
            raise Refusal(Code.TOO_MANY, f"{limit}, and no fewer stand, {whose} among them: lift some first")
        entry = Entry(
            kind=LedgerKind.FREEZE_SET,
            services=tuple(f.scope for f in freezes),
            who=who.name,
            proof=who.proof,
            why=why,
            details={"mode": mode.value, "until": until},
        )
        change = Change(new_change_id(request_id), fingerprint, Act.RECORD, entry, freeze=freezes)
        reach("freeze:before")
        revision = await self._requests.command(change)
        reach("freeze:after")
        if revision > view.revision:
            return freezes, revision
        # The same request came before.
        held = tuple(f for f in view.freezes if f.scope in scopes and (f.mode, f.reason) == (mode, why))
        if not held:
            over = f"request {request_id!r} set a freeze at revision {revision}, which is no longer in force"
            raise Refusal(Code.CONFLICT, f"{over}: freeze again with another id")
        return held, revision

    async def unfreeze(
        self,
        scopes: Sequence[str],
        *,
        who: Actor,
        reason: str,
        request_id: str = "",
        may_lift: Callable[[Freeze], bool] = lambda _freeze: True,
    ) -> Lifted:
        """Lift the freezes of these scopes ("*": every freeze there is) that the caller may lift; `Refusal` with DENIED
        if that is none of them.

        A freeze that is set meanwhile stays: the operator did not know of it.
        """
        violations = unfreeze_violations(scopes, reason)
        if violations:
            raise invalid(violations)
        why = validate_reason(reason)
        fingerprint = fingerprint_of("unfreeze", *sorted(set(scopes)))
        if done := await self._requests.applied_at(request_id, fingerprint):
            return Lifted((), freezes_over((await self.view()).freezes, scopes), done)
        view = await self.view()
        named = tuple(f for f in view.freezes if ALL in scopes or f.scope in scopes)
        if not named:
            raise Refusal(Code.NOT_FOUND, _nothing_to_lift(view, scopes))
        lifted = tuple(filter(may_lift, named))
        if not lifted:
            whose = named[0].actor.described
            raise Refusal(Code.DENIED, f"{who.described} may not lift the freeze of {whose}: that takes `lift`")
        standing = freezes_over((f for f in view.freezes if f not in lifted), scopes)
        services = tuple(sorted({f.scope for f in lifted}))
        entry = Entry(
            kind=LedgerKind.FREEZE_LIFTED,
            services=services,
            who=who.name,
            proof=who.proof,
            why=why + describe_remaining(standing),
        )
        change = Change(new_change_id(request_id), fingerprint, Act.RECORD, entry, lift=lifted)
        return Lifted(lifted, standing, await self._requests.command(change))

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Lines of the ledger, oldest first."""
        return await self._requests.events(service=service, after=after, limit=limit)

    @property
    def store_problem(self) -> str:
        """Why nothing can be read or stored now; empty while everything can."""
        return self._requests.store_problem

    @property
    def is_unread(self) -> bool:
        """Whether the store did not answer the last time that it was read."""
        return self._requests.is_unread

    async def view(self) -> View:
        """Everything, as the store has it now."""
        return await self._requests.view()

    def newest(self) -> View:
        """The newest view that is known here, at once. Raises nothing."""
        return self._requests.newest()

    async def _refresh(self, service: str) -> None:
        """Ask what is known of the service, where another controller judges: before the state is read, so that it is
        not an old one by then."""
        if self._observatory:
            with suppress(TimeoutError):
                async with asyncio.timeout(OBSERVED_WITHIN):
                    await self._observatory.refresh((service,))

    def _observe(self, state: ServiceState) -> tuple[Verdict | None, bool]:
        """The evidence so far on the service's rollout, and whether its stable is known to have no healthy endpoint."""
        if self._observatory is None or state.rollout is None:
            return None, False
        no_upstream = self._observatory.no_healthy_upstream(state.name, state.rollout.stable)
        return self._observatory.live(state.name).verdict, no_upstream

    def _unresolved(self, state: ServiceState, canary: str) -> bool:
        """Whether proxies find the endpoints of that canary, or else of the running one, only in time, and it is not
        known that every proxy has a healthy one."""
        canary = canary or (state.rollout.canary if state.rollout else "")
        if self._observatory is None or not state.spec.is_found_in_time(canary):
            return False
        return self._observatory.lacks_upstream(state.name, canary) is not False

    async def _apply_decision(self, change: Change, decision: Decision) -> int:
        """Apply what a command led to and return the revision; its outcome is counted once it is known."""
        try:
            way = self._right_of_way if change.act.is_urgent else None
            with way.handed_on() if way else nullcontext():
                revision = await self._requests.command(change)
        except BaseException:  # also a client that has gone: the store completes what has begun
            self._outcomes.unknown(change, decision)
            raise
        self._outcomes.applied(revision, change, decision)
        return revision


def _expected_fields(command: Command) -> tuple[str, ...]:
    """For the fingerprint: empty without these fields, so request ids stored before they existed still match."""
    return (command.expected_canary, str(command.weight)) if command.expected_canary or command.weight else ()


def _nothing_to_lift(view: View, scopes: Sequence[str]) -> str:
    if not view.freezes:
        return "nothing is frozen"
    return f"not frozen: {', '.join(scopes)}; in force: {', '.join(f.scope for f in view.freezes)}"
