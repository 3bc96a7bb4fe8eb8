"""The hooks that are asked before a rollout advances, and whether it should be rolled back.

They are asked in the background, and a tick takes the newest answer: a hook that hangs blocks the advance of the
rollouts that name it, and nothing else. A yes counts for the step at which it was given; after a restart the hook is
asked again. After a no or no answer it is asked again every `every` seconds of its settings. Only the status of an
answer counts: any 2xx is a yes.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from controller.core.base.text import clean
from controller.core.base.units import TOTAL_WEIGHT, format_duration
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.decision import Decision
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import JUDGED, Rollout
from controller.core.model.service_state import ServiceState
from controller.hooks.hook import Hook, HookType
from controller.hooks.payload import request_payload
from controller.hooks.webhook_retry import post_with_retries
from controller.ports.clock import Clock
from controller.ports.meters import HookMeter
from controller.process.http_client import Unanswered

log = structlog.get_logger()


@dataclass(slots=True)
class _Question:
    """What one hook is asked, of one type at one step, and its newest answer."""

    hook: str
    type: HookType
    yes: bool = False
    answer: str = "has not answered yet"
    due: float = 0.0
    """Monotonic seconds from which it may be asked."""
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Questions:
    """All that is asked for one rollout, by hook, type and step."""

    rollout_id: str
    questions: dict[tuple[str, HookType, int], _Question] = field(default_factory=dict)

    def cancel(self) -> None:
        """Stop asking."""
        for question in self.questions.values():
            if question.task:
                question.task.cancel()


class HookApprovals:
    """`ports.Hooks` over the hooks of the settings. `on_news` is called with the service after each answer."""

    def __init__(
        self,
        hooks: Mapping[str, Hook],
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        meter: HookMeter,
        on_news: Callable[[Iterable[str]], None],
    ) -> None:
        self._hooks = hooks
        self._session = session
        self._clock = clock
        self._meter = meter
        self._on_news = on_news
        self._by_service: dict[str, _Questions] = {}

    def close(self) -> None:
        """Stop asking."""
        for questions in self._by_service.values():
            questions.cancel()
        self._by_service.clear()

    def hook_blocker(self, state: ServiceState, decision: Decision, verdict: Verdict) -> Blocker | None:
        """The hooks that block a decision that moves traffic forward; None if every hook lets it pass."""
        rollout = state.rollout
        if rollout is None or not decision.asks_hooks:
            return None
        unknown = tuple(name for name in rollout.policy.hooks if name not in self._hooks)
        if unknown:
            words = f"the policy names hooks that the controller's settings do not have: {', '.join(unknown)}"
            return Blocker(BlockerKind.HOOK, decision.kind, names=unknown, words=words)
        for kind in _types_before(rollout, decision):
            questions = [self._newest(name, kind, state, verdict) for name in self._named(rollout, kind)]
            blocking = [question for question in questions if not question.yes]
            if blocking:
                words = "; ".join(f"hook {q.hook} ({kind}) {q.answer}" for q in blocking)
                return Blocker(BlockerKind.HOOK, decision.kind, names=tuple(q.hook for q in blocking), words=words)
        return None

    def rollback_reason(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        """Why a hook wants the running rollout rolled back; None if none does. `verdict` is the newest one."""
        rollout = state.rollout
        if rollout is None or rollout.phase not in JUDGED:
            return None
        kind = HookType.ROLLBACK
        questions = [self._newest(name, kind, state, verdict) for name in self._named(rollout, kind)]
        wanting = [question.hook for question in questions if question.yes]
        return Reason(ReasonCode.HOOK, f"hook {', '.join(wanting)} asks for a rollback") if wanting else None

    def _named(self, rollout: Rollout, kind: HookType) -> list[str]:
        return [name for name in rollout.policy.hooks if name in self._hooks and kind in self._hooks[name].types]

    def _newest(self, name: str, kind: HookType, state: ServiceState, verdict: Verdict | None) -> _Question:
        """The question with its newest answer; asks it if it is due."""
        assert state.rollout is not None
        lasting = kind is not HookType.ROLLBACK
        key = name, kind, state.rollout.step if lasting else 0
        question = self._of(state.rollout).questions.setdefault(key, _Question(name, kind))
        answered = question.yes and lasting
        if question.task is None and not answered and self._clock.monotonic() >= question.due:
            question.task = asyncio.create_task(self._ask(question, state, verdict))
        return question

    def _of(self, rollout: Rollout) -> _Questions:
        questions = self._by_service.get(rollout.service)
        if questions is None or questions.rollout_id != rollout.id:
            if questions:
                questions.cancel()
            questions = self._by_service[rollout.service] = _Questions(rollout.id)
        return questions

    async def _ask(self, question: _Question, state: ServiceState, verdict: Verdict | None) -> None:
        hook = self._hooks[question.hook]
        body = request_payload(hook, question.type, state, verdict)
        try:
            status = await post_with_retries(self._session, hook, body, self._clock)
        except Unanswered as unanswered:
            question.yes, outcome = False, "unanswered"
            question.answer = clean(f"does not answer: {unanswered}")
        except Exception:
            log.exception("hook_failed", hook=question.hook)
            question.yes, outcome = False, "unanswered"
            question.answer = "could not be asked: the controller's log says why"
        else:
            question.yes = 200 <= status < 300
            outcome = "passed" if question.yes else "refused"
            question.answer = f"says {'yes' if question.yes else 'no'}: it answered {status}"
        if not question.yes:
            question.answer += f"; asked again every {format_duration(hook.every)}"
        question.due = self._clock.monotonic() + hook.every
        question.task = None
        self._meter.count_hook_answer(question.hook, question.type, outcome)
        log.info(
            "hook_answered",
            hook=question.hook,
            type=question.type.value,
            service=state.name,
            outcome=outcome,
            answer=question.answer,
        )
        self._on_news((state.name,))


def _types_before(rollout: Rollout, decision: Decision) -> tuple[HookType, ...]:
    """The types of hooks that are asked before that decision, in this order."""
    if not rollout.has_traffic:
        return (HookType.CONFIRM_ROLLOUT, HookType.PRE_ROLLOUT)
    if decision.kind is LedgerKind.PROMOTION_STARTED or rollout.next_weight == TOTAL_WEIGHT:
        return (HookType.ROLLOUT, HookType.CONFIRM_PROMOTION)
    return (HookType.ROLLOUT, HookType.CONFIRM_TRAFFIC_INCREASE)
