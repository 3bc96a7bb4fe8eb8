"""Declares services: one file, or many that are checked as one.

Many files are all checked before the first is applied: each by itself, against what is stored, and
against the others. Then they are applied in order, some in one transaction. If one is refused then,
because its service has changed meanwhile or the disk is full, the transactions before it stand.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.base.units import counted
from controller.core.control.changes import Origin, fingerprint_of
from controller.core.control.declaration import declare
from controller.core.control.request_validation import validate_reason, validate_request_id
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.followed import Followed
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.service import Service
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.clashes import Claims
from controller.core.servicefile.service_file import read_service
from controller.runtime.allowed import Allowed
from controller.runtime.store_requests import StoreRequests, find_state, new_change_id

EARLIER = 16
"""Texts of a file that are remembered after they were replaced: the folders of several controllers differ by the last
few changes."""
TOGETHER = 50
"""Services in one transaction: some ten milliseconds, for which a rollback waits at most."""


class Declared(NamedTuple):
    """A service after its file was applied, and whether the file says what was already there."""

    state: ServiceState
    unchanged: bool


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A service file that is right by itself."""

    text: str
    spec: Service

    @property
    def name(self) -> str:
        """The service's."""
        return self.spec.name

    def is_followed(self, state: ServiceState | None) -> bool:
        """Whether the service in that state has this text from a folder already."""
        return state is not None and state.followed is not None and state.followed.digest == self.digest

    @property
    def fingerprint(self) -> str:
        """By which a retry is recognised."""
        return fingerprint_of("apply", self.text)

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return digest_of(self.text)


class Declarations:
    """Applies service files. Every method raises `Refusal`; what it returns is durable.

    Never moves traffic between versions: another `stable` than the one that carries the traffic is
    refused, and so is taking away a version or the endpoints of a version that carries traffic.
    """

    def __init__(self, requests: StoreRequests, allowed: Allowed) -> None:
        self._requests = requests
        self._allowed = allowed
        self._claims = Claims()
        """Those of a view that was newest once: they are brought up to date, not made again, for each file."""

    async def apply(
        self,
        text: str,
        *,
        who: Actor,
        reason: str,
        request_id: str,
        dry_run: bool,
        permit: Callable[[str], None],
    ) -> Declared:
        """Declare or change one service. `permit` is called with its name, and raises where `who` may not."""
        file, why = self._read(text), validate_reason(reason)
        permit(file.name)
        if not dry_run and (done := await self._requests.applied_at(request_id, file.fingerprint)):
            return Declared(await self._requests.state_at(file.name, done), unchanged=False)
        view = await self._requests.view()
        declared, refused = self._declare_together({0: file}, view)
        if refused:
            raise refused[0]
        if dry_run or declared[0].unchanged:
            return declared[0]
        change = _change(file, declared[0].state, view, why, Origin(who, new_change_id(request_id), file.fingerprint))
        return Declared(await self._requests.state_at(file.name, await self._requests.command(change)), unchanged=False)

    async def apply_all(
        self,
        texts: Sequence[str],
        *,
        who: Actor,
        reason: str,
        request_id: str,
        dry_run: bool,
        permit: Callable[[str], None],
    ) -> list[Declared]:
        """Declare or change many services, in this order; none if one of the files cannot be applied.

        The field of a violation begins with its file: `files[2].policy.steps`. A repeated request
        applies what was not applied the first time.
        """
        why = validate_reason(reason)
        validate_request_id(request_id)
        files, refused = await self._read_all(texts)
        for file in files.values():
            permit(file.name)
        view = await self._requests.view()
        declared, unfit = self._declare_together(files, view)
        if refused or unfit:
            raise _refusal_of_all(refused | unfit, len(texts))
        changes = {}
        for number, file in files.items():
            if not dry_run and not declared[number].unchanged:
                # An id is for one change: each file has its own, so that the request can be repeated.
                origin = Origin(who, new_change_id(request_id and f"{request_id}.{file.name}"), file.fingerprint)
                changes[number] = _change(file, declared[number].state, view, why, origin)
        if changes:
            newest = await self._commit(list(changes.values()))
            for number, change in changes.items():
                declared[number] = Declared(find_state(newest, change.service), unchanged=False)
        return [declared[number] for number in range(len(texts))]

    async def follow(
        self, files: Mapping[str, ReadFile], actor_of: Callable[[str], Actor], now: float
    ) -> dict[str, Refusal]:
        """Declare services after files of a folder, as many as can be; by file, why others cannot be. `now` is Unix
        seconds."""
        view, refused = await self._requests.view(), {}
        rest = {name: file for name, file in files.items() if not file.is_followed(view.services.get(file.name))}
        names, declared, unfit = tuple(rest), *self._declare_together(dict(enumerate(rest.values())), view)
        while unfit:
            for number, refusal in unfit.items():
                refused[names[number]] = _named(refusal, names)
                del rest[names[number]]
            # Without these others may be in the way, which stay as they are stored.
            names, declared, unfit = tuple(rest), *self._declare_together(dict(enumerate(rest.values())), view)
        changes = {}
        for number, (name, file) in enumerate(rest.items()):
            followed = _followed(name, file, view.services.get(file.name), now)
            state = declared[number].state.model_copy(update={"followed": followed})
            origin = Origin(actor_of(name), new_change_id(""), file.fingerprint)
            changes[name] = _change(file, state, view, f"{name} has changed", origin)
        for start in range(0, len(changes), TOGETHER):
            batch = dict(list(changes.items())[start : start + TOGETHER])
            try:
                await self._requests.command_all(list(batch.values()))
            except Refusal as refusal:
                refused |= dict.fromkeys(batch, refusal)
        return refused

    def read(self, text: str) -> ReadFile:
        """The file of that text. Raises `Refusal` if it is not right by itself."""
        return self._read(text)

    async def _commit(self, changes: Sequence[Change]) -> View:
        """Apply these changes, some at a time; a view that has them. The refusal says which of them stand."""
        revision = 0
        for start in range(0, len(changes), TOGETHER):
            try:
                revision = await self._requests.command_all(changes[start : start + TOGETHER])
            except Refusal as refusal:
                stand = ", ".join(change.service for change in changes[:start]) or "none"
                raise Refusal(refusal.code, f"{refusal.message}; applied before it: {stand}") from refusal
        return await self._requests.view_at(revision)

    async def _read_all(self, texts: Sequence[str]) -> tuple[dict[int, ReadFile], dict[int, Refusal]]:
        """The files that are right by themselves, and why the others are not."""
        files, refused = {}, {}
        for number, text in enumerate(texts):
            try:
                files[number] = self._read(text)
            except Refusal as refusal:
                refused[number] = refusal
            await asyncio.sleep(0)  # a file takes milliseconds: other work has its turn
        return files, refused

    def _read(self, text: str) -> ReadFile:
        linted = read_service(text)
        if linted.service is None:
            raise invalid(linted.violations)
        if not_allowed := self._allowed.violations(linted.service):
            raise invalid(not_allowed)
        return ReadFile(text, linted.service)

    def _declare_together(
        self, files: Mapping[int, ReadFile], view: View
    ) -> tuple[dict[int, Declared], dict[int, Refusal]]:
        """Each service after its file, beside the others and all that is stored; or why it cannot be so."""
        numbers: dict[str, int] = {}
        claims, room = self._claims, self._allowed.max_services - len(view.services)
        named = {file.name for file in files.values()}
        claims.follow({name: state for name, state in view.services.items() if name not in named})
        declared, refused = {}, {}
        for number, file in files.items():
            present = view.services.get(file.name)
            room -= present is None and file.name not in numbers
            try:
                if room < 0 and present is None:
                    raise self._too_many()
                if file.name in numbers:
                    raise invalid([_clash(numbers[file.name], f"declares {file.name} too")])
                state = declare(file.spec, file.text, present)
                if clashes := claims.clashes_with(state):
                    field = "route_config" if file.spec.route_config else "listen"
                    raise invalid([_place(other, text, numbers, field) for other, text in clashes])
            except Refusal as refusal:
                refused[number] = refusal
            else:
                claims.add(state)
                same = present is not None and (state.spec, state.source) == (present.spec, present.source)
                declared[number] = Declared(present if present and same else state, same)
            numbers.setdefault(file.name, number)
        return declared, refused

    def _too_many(self) -> Refusal:
        limit = f"max_services allows {counted(self._allowed.max_services, 'service')}"
        return Refusal(Code.TOO_MANY, f"{limit}, and no fewer are declared: delete one first")


def digest_of(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _followed(name: str, file: ReadFile, present: ServiceState | None, now: float) -> Followed:
    """What is stored with a file: it keeps the canary that was started, as long as it asks for one."""
    before = present.followed if present else None
    canary = before.canary if before and file.spec.wanted_canary else ""
    replaced = (before.digest, *before.earlier) if before else ()
    earlier = tuple(each for each in replaced if each != file.digest)[:EARLIER]
    return Followed(file=name, digest=file.digest, at=now, canary=canary, earlier=earlier)


def _named(refusal: Refusal, names: Sequence[str]) -> Refusal:
    """The refusal of one of several files, with the names of the others for their numbers."""

    def with_names(text: str) -> str:
        return re.sub(r"files\[(\d+)\]", lambda found: names[int(found[1])], text)

    violations = [replace(each, message=with_names(each.message)) for each in refusal.violations]
    return Refusal(refusal.code, with_names(refusal.message), violations)


def _place(other: str, text: str, numbers: Mapping[str, int], field: str) -> Violation:
    """A place that is taken: by another one of the files, or by a service that is stored."""
    return _clash(numbers[other], text) if other in numbers else Violation(field, text)


def _clash(number: int, text: str) -> Violation:
    return Violation("", f"clashes with files[{number}]: {text}")


def _refusal_of_all(refused: Mapping[int, Refusal], total: int) -> Refusal:
    """Why none of the files was applied: everything that is wrong in each."""
    violations = []
    for number, refusal in sorted(refused.items()):
        for each in refusal.violations or (Violation("", refusal.message),):
            field = f"files[{number}].{each.field}" if each.field else f"files[{number}]"
            violations.append(Violation(field, each.message, each.line))
    first = refused[min(refused)]
    message = f"nothing was applied: {len(refused)} of {counted(total, 'file')} cannot be"
    return Refusal(first.code, message, violations)


def _change(file: ReadFile, state: ServiceState, view: View, why: str, origin: Origin) -> Change:
    """The change that stores a service as its file says."""
    present = view.services.get(file.name)
    entry = Entry(
        kind=LedgerKind.SERVICE_APPLIED,
        services=(file.name,),
        who=origin.who.name,
        proof=origin.who.proof,
        why=why,
        weights_before=present.weights if present else {},
        weights_after=state.weights,
    )
    return Change(
        id=origin.change_id,
        fingerprint=origin.fingerprint,
        act=Act.RECORD,
        entry=entry,
        service=file.name,
        expects=present.revision if present else 0,
        state=state,
    )
