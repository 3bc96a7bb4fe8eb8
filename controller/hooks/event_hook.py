"""The hooks that are notified and not asked: types `event` and `post-rollout`."""

from collections.abc import Callable, Iterator, Sequence

import aiohttp

from controller.core.model.ledger_kind import LedgerKind, severity_of
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.service_state import ServiceState
from controller.core.model.severity import Severity
from controller.core.model.view import View
from controller.hooks.hook import Hook, HookType
from controller.hooks.payload import CONTENT_TYPE, event_payload
from controller.ports.clock import Clock
from controller.ports.recipient import DeliveryError
from controller.process.http_client import Unanswered, post

ENDS = frozenset({LedgerKind.PROMOTED, LedgerKind.ROLLED_BACK})
"""The kinds of ledger lines that end a rollout."""
GIVE_UP = 900.0
"""Seconds after which a line is too old to be sent."""


class EventHook:
    """One hook of the settings, notified of the services whose policy names it (`ports.Recipient`)."""

    batch = 1
    give_up = GIVE_UP

    def __init__(
        self, name: str, hook: Hook, *, session: aiohttp.ClientSession, clock: Clock, view: Callable[[], View]
    ) -> None:
        self.name = f"hooks.{name}"
        self._hook_name = name
        self._hook = hook
        self._session = session
        self._clock = clock
        self._view = view

    def wants(self, line: LedgerLine) -> bool:
        """Whether the line concerns a service that uses the hook."""
        return bool(self._types(line)) and any(self._services(line))

    async def deliver(self, lines: Sequence[LedgerLine]) -> None:
        """Send each line, for each service and type. `DeliveryError` if one is not taken; those before it are."""
        for line in lines:
            for state in self._services(line):
                for kind in self._types(line):
                    await self._send(line, state, kind)

    async def _send(self, line: LedgerLine, state: ServiceState, kind: HookType) -> None:
        warning = severity_of(line.entry.kind) > Severity.INFO
        body = event_payload(self._hook, kind, state, line, warning=warning)
        message_id = f"{self._view().store_id}-{line.sequence}-{kind}-{state.name}"
        try:
            status = await post(
                self._session,
                self._hook,
                body,
                content_type=CONTENT_TYPE,
                message_id=message_id,
                now=self._clock.wall(),
            )
        except Unanswered as unanswered:
            raise DeliveryError(str(unanswered)) from unanswered
        if not 200 <= status < 300:
            raise DeliveryError(f"answered {status}", final=400 <= status < 500)

    def _types(self, line: LedgerLine) -> list[HookType]:
        kinds = [HookType.EVENT, HookType.POST_ROLLOUT] if line.entry.kind in ENDS else [HookType.EVENT]
        return [kind for kind in kinds if kind in self._hook.types]

    def _services(self, line: LedgerLine) -> Iterator[ServiceState]:
        for state in self._view().services.values():
            policy = state.rollout.policy if state.rollout else state.spec.policy
            if self._hook_name in policy.hooks and line.entry.concerns(state.name):
                yield state
