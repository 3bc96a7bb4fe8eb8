"""Hooks and notifications under the real loop: they hold what goes forward, and nothing else: never a rollback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from controller.hooks.event_hook import EventHook
from controller.hooks.hook import Hook
from controller.hooks.hook_approvals import HookApprovals
from controller.notify.cloud_events import CloudEvents
from controller.notify.notifications import Notifications
from controller.notify.target import Target
from controller.process.http_client import open_session
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.meter import FakeMeter
from tests.hooks.harness import hook
from tests.notify.receivers import Receiver, receiving
from tests.support.loop_harness import LoopHarness, rollout_file, running_loop, tick_until
from tests.support.waiting import wait_until


@dataclass
class Hooked:
    """A running loop with hooks."""

    harness: LoopHarness
    gates: HookApprovals

    async def start(self, *hooks: str) -> None:
        """A rollout whose policy names these hooks."""
        text = rollout_file() + f"  hooks: [{', '.join(hooks)}]\n"
        await self.harness.operations.apply(text, who=Actor("alice"))
        await self.harness.act(Verb.START, canary="v2")

    async def until(self, phase: Phase, **traffic: float) -> int:
        """Tick until the rollout is in that phase, with time for hooks to answer: how many ticks that took."""
        return await tick_until(self.harness, phase, pause=0.001, **traffic)

    async def weight(self) -> int:
        """The canary's weight as stored."""
        return (await self.harness.rollout()).weight

    def why(self) -> str:
        """What GetRollout says is being done."""
        return self.harness.replica.live("scorer").remark


@contextlib.asynccontextmanager
async def controller(store: MemoryStore, clock: FakeClock, **hooks: Hook) -> AsyncIterator[Hooked]:
    """A loop over this store, with these hooks in its settings."""
    async with open_session() as session:
        gates = HookApprovals(hooks, session=session, clock=clock, meter=FakeMeter(), on_news=lambda _services: None)
        async with running_loop(store, clock, gates) as harness:
            harness.operations = Operations(store, clock, Allowed(hooks=hooks))
            try:
                yield Hooked(harness, gates)
            finally:
                gates.close()


async def test_no_traffic_before_the_hooks_let_it_begin(store: MemoryStore, clock: FakeClock) -> None:
    """The canary stands at 0 % with the reason shown; at the yes it gets the first step's weight, and goes on."""
    async with (
        receiving(403) as gate,
        controller(store, clock, qa=hook(gate.url, "confirm-rollout", every=1)) as hooked,
    ):
        await hooked.start("qa")
        await wait_until(lambda: _ticked(hooked, "hook qa (confirm-rollout) says no: it answered 403"))
        await hooked.harness.ticks(40)
        assert (await hooked.harness.rollout()).phase is Phase.WARMING
        assert await hooked.weight() == 0
        assert {
            weight for view in hooked.harness.published for s in view.services.values() for weight in [s.weights["v1"]]
        } == {10_000}
        gate.does = 200
        await hooked.until(Phase.PROMOTED)
    kinds = await hooked.harness.kinds()
    assert kinds[:3] == ["service_applied", "rollout_started", "step_advanced"]


async def test_waiting_for_hooks_uses_up_no_deadline(store: MemoryStore, clock: FakeClock) -> None:
    """A day of waiting for a yes is no time of the rollout: it may take its whole deadline after that."""
    async with receiving(403) as gate, controller(store, clock, qa=hook(gate.url, "pre-rollout", every=1)) as hooked:
        await hooked.start("qa")
        await hooked.harness.tick()
        clock.advance(86_400)
        await hooked.harness.tick()
        gate.does = 200
        await hooked.until(Phase.PROGRESSING)
        await hooked.until(Phase.PROMOTED)


async def test_promotion_waits_for_its_confirmation(store: MemoryStore, clock: FakeClock) -> None:
    """At the last step's weight the rollout is held, with protection on, until the hook says yes."""
    async with (
        receiving("hang") as gate,
        controller(store, clock, qa=hook(gate.url, "confirm-promotion", every=1, timeout=0.5)) as hooked,
    ):
        await hooked.start("qa")
        await wait_until(lambda: _ticked(hooked, "hook qa (confirm-promotion) does not answer"))
        assert await hooked.weight() == 5000
        gate.does = 200
        await hooked.until(Phase.PROMOTED)


async def test_a_hook_that_hangs_does_not_delay_a_rollback(store: MemoryStore, clock: FakeClock) -> None:
    """Everything that can hang hangs: gates, the rollback hook, event hooks, a notification target. Harm is taken
    back at the same tick as with no hooks at all."""
    async with receiving("hang") as hung:
        every = ("rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "event", "post-rollout")
        async with controller(store, clock, qa=hook(hung.url, *every, timeout=60)) as hooked, _told(hooked, hung):
            await hooked.start("qa")
            await wait_until(lambda: _ticked(hooked, "hook qa (rollout) has not answered yet"))
            await wait_until(lambda: len(hung.posted) >= 4)
            ticks = await hooked.until(Phase.ROLLED_BACK, canary_errors=0.5)
    plain_clock = FakeClock()
    async with running_loop(MemoryStore(clock=plain_clock), plain_clock) as harness:
        plain = Hooked(harness, hooked.gates)
        await harness.apply()
        await harness.act(Verb.START, canary="v2")
        await plain.until(Phase.PROGRESSING)
        await harness.ticks(20)
        assert ticks <= await plain.until(Phase.ROLLED_BACK, canary_errors=0.5) + 1


async def test_a_rollback_hook_takes_the_rollout_back(store: MemoryStore, clock: FakeClock) -> None:
    """By the normal way, with the hook as the cause in the ledger."""
    async with receiving(404) as gate, controller(store, clock, stop=hook(gate.url, "rollback", every=1)) as hooked:
        await hooked.start("stop")
        await hooked.until(Phase.PROGRESSING)
        gate.does = 200
        await hooked.until(Phase.ROLLED_BACK)
    line = next(line for line in await store.events() if line.entry.kind == "rollback")
    assert line.entry.why == "hook stop asks for a rollback"
    assert line.entry.who == "haldane"


async def test_a_freeze_holds_a_rollback_that_a_hook_asks_for(store: MemoryStore, clock: FakeClock) -> None:
    """It is suppressed and told once; what the hook says when the freeze ends is what counts then."""
    async with receiving(404) as gate, controller(store, clock, stop=hook(gate.url, "rollback", every=1)) as hooked:
        await hooked.start("stop")
        await hooked.until(Phase.PROGRESSING)
        await hooked.harness.operations.freeze([ALL], who=Actor("bob"), reason="incident 42")
        gate.does = 200
        await wait_until(lambda: _ticked(hooked, "rollback suppressed"))
        await hooked.harness.ticks(20)
        assert (await hooked.harness.kinds()).count("rollback_suppressed") == 1
        assert await hooked.weight() > 0
        await hooked.harness.operations.unfreeze([ALL], who=Actor("bob"), reason="over")
        await hooked.until(Phase.ROLLED_BACK)


async def test_a_restart_asks_again(store: MemoryStore, clock: FakeClock) -> None:
    """A pass is known to no one after a restart: the hook is asked again, and traffic stays where it is meanwhile."""
    async with receiving(200) as gate:
        settings = hook(gate.url, "confirm-rollout", "confirm-traffic-increase", every=1)
        async with controller(store, clock, qa=settings) as hooked:
            await hooked.start("qa")
            await hooked.until(Phase.PROGRESSING)
            assert await hooked.weight() == 2000
        gate.does = 403
        async with controller(store, clock, qa=settings) as hooked:
            await wait_until(lambda: _ticked(hooked, "hook qa (confirm-traffic-increase) says no"))
            assert await hooked.weight() == 2000


async def test_a_hook_that_the_settings_do_not_have_is_refused_by_name(store: MemoryStore, clock: FakeClock) -> None:
    """At apply with its field, and at start when the settings have lost it since; nothing changes."""
    async with controller(store, clock, qa=hook("http://127.0.0.1:9/", "rollout")) as hooked:
        with pytest.raises(Refusal) as refused:
            await hooked.start("qa", "qb")
        assert refused.value.code is Code.INVALID
        (violation,) = refused.value.violations
        assert violation.field == "policy.hooks"
        assert violation.message == "qb: not a hook of the controller's settings, which have qa"
        assert not (await store.load()).services
        await hooked.start("qa")
    async with controller(store, clock) as without:
        await without.harness.act(Verb.ROLLBACK)
        await without.until(Phase.ROLLED_BACK)
        with pytest.raises(Refusal, match="qa: not a hook of the controller's settings, which have none") as refused:
            await without.harness.operations.act("scorer", Command(Verb.START, "", "v2"), who=Actor("alice"))
        assert refused.value.code is Code.NOT_POSSIBLE


async def _ticked(hooked: Hooked, text: str) -> bool:
    """Let half a second of healthy traffic pass: whether GetRollout says so by now."""
    await hooked.harness.tick()
    return text in hooked.why()


@contextlib.asynccontextmanager
async def _told(hooked: Hooked, receiver: Receiver) -> AsyncIterator[None]:
    """Notifications to a program and to the event hook at that receiver, until the end of the block."""
    harness = hooked.harness
    async with open_session() as session:
        target = Target(url=receiver.url, timeout=60)
        listener = EventHook(
            "qa", hook(receiver.url, "event"), session=session, clock=harness.clock, view=harness.replica.view
        )
        program = CloudEvents("notify.audit", target, session, harness.clock, "store")
        notifications = Notifications(
            store=harness.store,
            cursors=harness.store,
            observatory=harness.replica,
            clock=harness.clock,
            meter=FakeMeter(),
        )
        telling = asyncio.create_task(notifications.run([program, listener]))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
