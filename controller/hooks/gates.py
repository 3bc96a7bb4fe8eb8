"""The hooks that hold a rollout, or take it back: asked in the background, so that nobody waits for one.

The loop asks at each look what the newest answer is; a hook that hangs holds the advance of the rollouts that name it,
and nothing else. A pass counts for the step at which it was given; a restart asks again. A no is asked again after the
hook's `every`, for ever. Of what a hook answers only the status counts: any 2xx is a yes.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from controller.core.base.units import TOTAL_WEIGHT, format_duration
from controller.core.control.decision import Decision
from controller.core.judge.verdict import Reason, Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Rollout
from controller.core.model.state import ServiceState
from controller.hooks.body import CONTENT_TYPE, question
from controller.hooks.hook import Hook, HookType
from controller.ports.clock import Clock
from controller.ports.meters import HookMeter
from controller.process.http_client import Unanswered, post

RETRY_PAUSE = 1.0
"""Seconds between two tries of one question."""

log = structlog.get_logger()


@dataclass(slots=True)
class Asking:
    """One hook's question of one kind at one step, and its newest answer."""

    yes: bool = False
    answer: str = "has not answered yet"
    due: float = 0.0
    """Monotonic seconds from which it may be asked."""
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """The answer is of no interest any more."""
        if self.task:
            self.task.cancel()


@dataclass(slots=True)
class Asked:
    """Everything asked for one rollout."""

    rollout_id: str
    askings: dict[tuple[str, HookType, int], Asking] = field(default_factory=dict)

    def cancel(self) -> None:
        """The rollout is of no interest any more."""
        for asking in self.askings.values():
            asking.cancel()


class HookGates:
    """`ports.Hooks` over the hooks of the settings."""

    def __init__(
        self,
        hooks: Mapping[str, Hook],
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        meter: HookMeter,
        on_news: Callable[[], None],
    ) -> None:
        self._hooks = hooks
        self._session = session
        self._clock = clock
        self._meter = meter
        self._on_news = on_news
        self._asked: dict[str, Asked] = {}

    def close(self) -> None:
        """Ask nothing any more."""
        for asked in self._asked.values():
            asked.cancel()
        self._asked.clear()

    def blocking(self, state: ServiceState, decision: Decision, verdict: Verdict) -> str:
        """Why hooks block a decision that moves traffic forward, in words; empty if every hook lets it pass."""
        rollout = state.rollout
        if rollout is None or not decision.forward:
            return ""
        unknown = [name for name in rollout.policy.hooks if name not in self._hooks]
        if unknown:
            return f"the policy names hooks that the controller's settings do not have: {', '.join(unknown)}"
        for kind in _asked_for(rollout, decision):
            asked = [(name, self._newest(name, kind, state, verdict)) for name in self._named(rollout, kind)]
            waiting = [f"hook {name} ({kind}) {asking.answer}" for name, asking in asked if not asking.yes]
            if waiting:
                return "; ".join(waiting)
        return ""

    def rollback_reason(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        """Why a hook wants the running rollout rolled back; None if none does. `verdict` is the newest one."""
        rollout = state.rollout
        if rollout is None or rollout.phase not in JUDGED:
            return None
        kind = HookType.ROLLBACK
        asked = [(name, self._newest(name, kind, state, verdict)) for name in self._named(rollout, kind)]
        willing = [name for name, asking in asked if asking.yes]
        return Reason("hook", f"hook {', '.join(willing)} asks for a rollback") if willing else None

    def _named(self, rollout: Rollout, kind: HookType) -> list[str]:
        return [name for name in rollout.policy.hooks if name in self._hooks and kind in self._hooks[name].types]

    def _newest(self, name: str, kind: HookType, state: ServiceState, verdict: Verdict | None) -> Asking:
        """The newest answer of that hook; asks it if it is time to."""
        assert state.rollout is not None
        lasting = kind is not HookType.ROLLBACK
        step = state.rollout.step if lasting else 0
        asking = self._of(state.rollout).askings.setdefault((name, kind, step), Asking())
        settled = asking.yes and lasting
        if asking.task is None and not settled and self._clock.monotonic() >= asking.due:
            asking.task = asyncio.create_task(self._ask(asking, name, kind, state, verdict))
        return asking

    def _of(self, rollout: Rollout) -> Asked:
        asked = self._asked.get(rollout.service)
        if asked is None or asked.rollout_id != rollout.id:
            if asked:
                asked.cancel()
            asked = self._asked[rollout.service] = Asked(rollout.id)
        return asked

    async def _ask(
        self, asking: Asking, name: str, kind: HookType, state: ServiceState, verdict: Verdict | None
    ) -> None:
        hook = self._hooks[name]
        try:
            status = await self._status(hook, question(hook, kind, state, verdict))
        except Unanswered as unanswered:
            asking.yes, outcome = False, "unanswered"
            asking.answer = f"does not answer: {unanswered}"
        except Exception:
            log.exception("hook_failed", hook=name)
            asking.yes, outcome = False, "unanswered"
            asking.answer = "could not be asked: the controller's log says why"
        else:
            asking.yes = 200 <= status < 300
            outcome = "passed" if asking.yes else "refused"
            asking.answer = f"says {'yes' if asking.yes else 'no'}: it answered {status}"
        if not asking.yes:
            asking.answer += f"; asked again every {format_duration(hook.every)}"
        asking.due = self._clock.monotonic() + hook.every
        asking.task = None
        self._meter.hook_answered(name, kind, outcome)
        log.info("hook_answered", hook=name, type=kind.value, service=state.name, outcome=outcome, told=asking.answer)
        self._on_news()

    async def _status(self, hook: Hook, body: bytes) -> int:
        """The answer's status, tried again as often as the hook's settings say. Raises `Unanswered`."""
        for left in reversed(range(hook.retries + 1)):
            try:
                status = await post(
                    self._session,
                    hook,
                    body,
                    content_type=CONTENT_TYPE,
                    message_id=uuid.uuid4().hex,
                    now=self._clock.wall(),
                )
                if status < 500 or not left:
                    return status
            except Unanswered:
                if not left:
                    raise
            await asyncio.sleep(RETRY_PAUSE)
        raise AssertionError("unreachable")


def _asked_for(rollout: Rollout, decision: Decision) -> tuple[HookType, ...]:
    """What must be asked before that decision, in this order."""
    if not rollout.weight:
        return (HookType.CONFIRM_ROLLOUT, HookType.PRE_ROLLOUT)
    if decision.kind is LedgerKind.PROMOTION_STARTED or rollout.next_weight == TOTAL_WEIGHT:
        return (HookType.ROLLOUT, HookType.CONFIRM_PROMOTION)
    return (HookType.ROLLOUT, HookType.CONFIRM_TRAFFIC_INCREASE)
