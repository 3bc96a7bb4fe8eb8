"""Excluding proxies from what is judged and waited for, and including them again."""

from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.base.text import is_printable
from controller.core.base.units import counted
from controller.core.control.changes import fingerprint_of
from controller.core.control.request_validation import validate_reason
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.ports.clock import Clock
from controller.runtime.store_requests import StoreRequests, new_change_id

MAX_EXCLUSIONS = 1000
"""Excluded proxies: each is compared with every report. Who wants more has another problem."""
MAX_NODE = 256
"""Characters of a node id, as on the xDS port."""


class Exclusions:
    """The operator's acts on proxies. Every method raises `Refusal`; what it returns is durable. No freeze stops them:
    they move no weight."""

    def __init__(self, requests: StoreRequests, clock: Clock) -> None:
        self._requests = requests
        self._clock = clock

    async def exclude(self, node: str, *, who: Actor, reason: str, request_id: str = "") -> int:
        """Serve the proxy, and neither judge what it reports nor wait for it, until it is included again.

        Returns the revision. It need not be connected. Excluding it once more replaces who and why.
        """
        why = _validated(node, reason, "say why its reports are not to be believed")
        exclusion = Exclusion(node=node, reason=why, who=who.name, proof=who.proof, since=self._clock.wall())
        others = [each for each in (await self._requests.view()).exclusions if each.node != node]
        if len(others) >= MAX_EXCLUSIONS:
            raise Refusal(Code.TOO_MANY, f"{counted(len(others), 'proxy', 'proxies')} are excluded, which is the most")
        entry = Entry(kind=LedgerKind.PROXY_EXCLUDED, who=who.name, proof=who.proof, why=why, details={"node": node})
        fingerprint = fingerprint_of("exclude", node, why)
        return await self._requests.command(
            Change(new_change_id(request_id), fingerprint, Act.RECORD, entry, exclude=exclusion)
        )

    async def include(self, node: str, *, who: Actor, reason: str, request_id: str = "") -> int:
        """Judge and wait for the proxy again, from now on, and return the revision. `NOT_FOUND` if it is not
        excluded."""
        why = _validated(node, reason, "say why its reports are to be believed again")
        fingerprint = fingerprint_of("include", node)
        if done := await self._requests.applied_at(request_id, fingerprint):
            return done
        if node not in {each.node for each in (await self._requests.view()).exclusions}:
            raise Refusal(Code.NOT_FOUND, f"{node} is not excluded")
        entry = Entry(kind=LedgerKind.PROXY_INCLUDED, who=who.name, proof=who.proof, why=why, details={"node": node})
        return await self._requests.command(
            Change(new_change_id(request_id), fingerprint, Act.RECORD, entry, include=node)
        )


def _validated(node: str, reason: str, why: str) -> str:
    violations = []
    if not node or len(node) > MAX_NODE or not is_printable(node):
        violations.append(Violation("node", f"the id of a proxy, at most {MAX_NODE} printable characters"))
    if not reason.strip():
        violations.append(Violation("reason", why))
    if violations:
        raise invalid(violations)
    return validate_reason(reason)
