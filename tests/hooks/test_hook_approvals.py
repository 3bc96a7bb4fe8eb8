"""Hooks that gate: asked in the background, in Flagger's words; whatever they do, no one waits for them."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from tests.hooks.harness import PASS, STEPS, HookHarness, decision, hook, hook_harness, in_rollout
from tests.notify.receivers import Receiver, receiving
from tests.notify.snippets import snippet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.proves("xds-rule 54")

LAST = len(STEPS) - 1


def types(receiver: Receiver) -> list[str]:
    """What a hook was asked, in order."""
    return [json.loads(posted.body)["type"] for posted in receiver.posted]


async def passed(harness: HookHarness, state: ServiceState, kind: LedgerKind = LedgerKind.STEP_ADVANCED) -> None:
    """Wait until the hooks let a decision of that kind pass."""
    await wait_until(lambda: not harness.hold(state, kind))


async def told(
    harness: HookHarness, state: ServiceState, text: str, kind: LedgerKind = LedgerKind.STEP_ADVANCED
) -> str:
    """Wait until the reason to hold says so."""
    return str(await wait_until(lambda: text in (why := harness.hold(state, kind)) and why))


async def test_any_2xx_passes_and_is_asked_for_once() -> None:
    """A pass counts for the step it was given at: not asked again there, and asked again at the next one."""
    async with receiving(204) as gate, hook_harness(qa=hook(gate.url, "confirm-traffic-increase")) as harness:
        assert "has not answered yet" in harness.hold(in_rollout("qa"))
        await passed(harness, in_rollout("qa"))
        harness.clock.now += 3600
        assert not harness.hold(in_rollout("qa"))
        assert len(gate.posted) == 1
        assert "has not answered yet" in harness.hold(in_rollout("qa", step=1))
        await passed(harness, in_rollout("qa", step=1))
        assert len(gate.posted) == 2
        assert harness.counted.hook_outcomes == [("qa", "confirm-traffic-increase", "passed")] * 2


async def test_a_no_holds_and_is_asked_again_after_a_while() -> None:
    """Not at every look: the hook's `every` seconds lie between two questions, for as long as it says no."""
    async with receiving(403) as gate, hook_harness(qa=hook(gate.url, "confirm-traffic-increase", every=10)) as harness:
        why = await told(harness, in_rollout("qa"), "says no")
        assert why == "hook qa (confirm-traffic-increase) says no: it answered 403; asked again every 10s"
        harness.clock.now += 9
        for _ in range(100):
            harness.hold(in_rollout("qa"))
        await asyncio.sleep(0)
        assert len(gate.posted) == 1
        harness.clock.now += 1
        await wait_until(lambda: harness.hold(in_rollout("qa")) and len(gate.posted) == 2)
        gate.does = 200
        harness.clock.now += 10
        await passed(harness, in_rollout("qa"))


async def test_the_loop_is_told_of_each_answer() -> None:
    """So that it looks at once, and not at its next tick."""
    async with receiving() as gate, hook_harness(qa=hook(gate.url, "confirm-traffic-increase")) as harness:
        harness.hold(in_rollout("qa"))
        await wait_until(lambda: harness.noticed)


@pytest.mark.parametrize(
    ("state", "kind", "asked"),
    [
        (in_rollout("all", weight=0), LedgerKind.STEP_ADVANCED, ["confirm-rollout", "pre-rollout"]),
        (in_rollout("all"), LedgerKind.STEP_ADVANCED, ["rollout", "confirm-traffic-increase"]),
        (in_rollout("all", step=1), LedgerKind.STEP_ADVANCED, ["rollout", "confirm-traffic-increase"]),
        (in_rollout("all", step=1), LedgerKind.APPROVAL_NEEDED, ["rollout", "confirm-traffic-increase"]),
        (in_rollout("all", step=LAST), LedgerKind.PROMOTION_STARTED, ["rollout", "confirm-promotion"]),
        (in_rollout("all", step=LAST), LedgerKind.APPROVAL_NEEDED, ["rollout", "confirm-promotion"]),
    ],
    ids=lambda value: value.rollout.weight if isinstance(value, ServiceState) else str(value),
)
async def test_what_is_asked_when(state: ServiceState, kind: LedgerKind, asked: list[str]) -> None:
    """The first traffic, a step, promotion: each has its own questions, in this order."""
    every = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "event")
    async with receiving() as gate, hook_harness(all=hook(gate.url, *every)) as harness:
        await passed(harness, state, kind)
        assert types(gate) == asked


async def test_the_second_question_waits_for_the_first() -> None:
    """A load test (pre-rollout) is not begun before the rollout is confirmed."""
    async with (
        receiving(403) as confirm,
        receiving() as test,
        hook_harness(a=hook(test.url, "pre-rollout"), b=hook(confirm.url, "confirm-rollout")) as harness,
    ):
        await told(harness, in_rollout("a", "b", weight=0), "hook b (confirm-rollout) says no")
        assert test.posted == []
        confirm.does = 200
        harness.clock.now += 10
        await passed(harness, in_rollout("a", "b", weight=0))
        assert len(test.posted) == 1


async def test_every_hook_of_a_type_must_pass() -> None:
    """They are asked at once; those that do not pass are named."""
    async with (
        receiving() as good,
        receiving(500) as bad,
        hook_harness(good=hook(good.url, "rollout"), bad=hook(bad.url, "rollout")) as harness,
    ):
        why = await told(harness, in_rollout("good", "bad"), "says no")
        assert "hook bad (rollout) says no: it answered 500" in why
        await wait_until(lambda: "good" not in harness.hold(in_rollout("good", "bad")))


@pytest.mark.parametrize(
    "kind",
    [
        None,
        *sorted(set(LedgerKind) - {LedgerKind.STEP_ADVANCED, LedgerKind.APPROVAL_NEEDED, LedgerKind.PROMOTION_STARTED}),
    ],
)
async def test_nothing_but_going_forward_asks(kind: LedgerKind | None) -> None:
    """No rollback, no pause, no confirmation ever depends on a hook."""
    async with receiving() as gate, hook_harness(qa=hook(gate.url, "rollout", "confirm-promotion")) as harness:
        assert harness.gates.hook_blocker(in_rollout("qa", step=LAST), decision(kind, in_rollout("qa")), PASS) is None
        await asyncio.sleep(0)
        assert gate.posted == []


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("hang", "does not answer: no answer within 4 s"),
        ("drip", "does not answer: no answer within 4 s"),
        ("redirect", "says no: it answered 302"),
        ("garbage", "does not answer: its answer is no HTTP"),
        ("endless headers", "does not answer: its answer is no HTTP"),
        ("nothing", "does not answer: the connection broke"),
        (500, "says no: it answered 500"),
        (404, "says no: it answered 404"),
    ],
)
async def test_a_bad_hook_holds_and_nobody_waits(does: int | str, why: str) -> None:
    """Asking is no await, whatever the hook does; the reason is shown; redirects are not followed."""
    timeout = 4.0 if does in ("hang", "drip") else 30.0
    async with receiving(does) as gate, hook_harness(qa=hook(gate.url, "rollout", timeout=timeout)) as harness:
        for _ in range(1000):
            assert "has not answered yet" in harness.hold(in_rollout("qa"))
        await told(harness, in_rollout("qa"), why)
        assert [posted.path for posted in gate.posted] == ["/take"]
        assert gate.sent < 50_000_000


@pytest.mark.parametrize("does", ["endless body", "html"])
async def test_only_the_status_counts(does: str) -> None:
    """What a hook says beside it is not read."""
    async with receiving(does) as gate, hook_harness(qa=hook(gate.url, "rollout")) as harness:
        await passed(harness, in_rollout("qa"))
        assert gate.sent < 50_000_000


async def test_a_hook_that_fails_is_tried_again_as_often_as_the_settings_say() -> None:
    """A failure on the way or a 5xx; a 4xx is an answer and is not tried again."""
    async with receiving(503) as gate, hook_harness(qa=hook(gate.url, "rollout", retries=1)) as harness:
        harness.hold(in_rollout("qa"))
        await wait_until(lambda: len(gate.posted) == 2)
        await told(harness, in_rollout("qa"), "it answered 503")
        gate.does = 404
        harness.clock.now += 10
        await told(harness, in_rollout("qa"), "it answered 404")
        assert len(gate.posted) == 3


async def test_a_flapping_hook_passes_at_its_first_yes() -> None:
    """And then it has passed."""
    async with receiving(500) as gate, hook_harness(qa=hook(gate.url, "rollout")) as harness:
        for does in (500, "nothing", 200, 500):
            gate.does = does
            harness.clock.now += 10
            seen = len(harness.counted.hook_outcomes)
            harness.hold(in_rollout("qa"))
            await asyncio.sleep(0)
            if not harness.hold(in_rollout("qa")):
                break
            await wait_until(lambda seen=seen: len(harness.counted.hook_outcomes) > seen)
        assert [outcome for *_, outcome in harness.counted.hook_outcomes] == ["refused", "unanswered", "passed"]


async def test_another_rollout_is_asked_anew() -> None:
    """What was answered for one rollout says nothing of the next; nor does one service's answer for another's."""
    async with receiving() as gate, hook_harness(qa=hook(gate.url, "rollout")) as harness:
        await passed(harness, in_rollout("qa"))
        assert harness.hold(in_rollout("qa", name="ranker"))
        assert harness.hold(in_rollout("qa", rollout="r2"))
        await passed(harness, in_rollout("qa", rollout="r2"))


async def test_a_rollout_that_is_over_is_not_asked_about() -> None:
    """The next rollout ends the questions of the last one, also those that hang."""
    async with receiving("hang") as gate, hook_harness(qa=hook(gate.url, "rollout", timeout=60)) as harness:
        harness.hold(in_rollout("qa"))
        await wait_until(lambda: len(gate.posted) == 1)
        gate.does = 200
        await passed(harness, in_rollout("qa", rollout="r2"))
        assert harness.counted.hook_outcomes == [("qa", "rollout", "passed")]


async def test_a_hook_that_the_settings_have_no_longer_holds() -> None:
    """After a restart without it the rollout waits and says for what; it does not go on unasked."""
    async with hook_harness() as harness:
        assert harness.hold(in_rollout("qa")) == "the policy names hooks that the controller's settings do not have: qa"


class TestRollback:
    """The `rollback` type: asked again and again while a rollout is under way; its yes takes the rollout back."""

    async def test_a_yes_asks_for_a_rollback(self) -> None:
        """Each `every` seconds, at any step; until then and after, nothing."""
        async with receiving(404) as gate, hook_harness(stop=hook(gate.url, "rollback", every=5)) as harness:
            assert harness.gates.rollback_reason(in_rollout("stop"), PASS) is None
            await wait_until(lambda: harness.counted.hook_outcomes)
            assert harness.gates.rollback_reason(in_rollout("stop", step=1), PASS) is None
            gate.does = 200
            harness.clock.now += 5
            reason = await wait_until(lambda: harness.gates.rollback_reason(in_rollout("stop", step=1), PASS))
            assert (reason.code, reason.text) == ("hook", "hook stop asks for a rollback")

    async def test_the_newest_answer_counts(self) -> None:
        """A yes that a freeze kept from being followed is asked for again; when it is a no by then, nothing happens."""
        async with receiving() as gate, hook_harness(stop=hook(gate.url, "rollback", every=5)) as harness:
            await wait_until(lambda: harness.gates.rollback_reason(in_rollout("stop"), PASS))
            gate.does = 404
            harness.clock.now += 5
            await wait_until(lambda: harness.gates.rollback_reason(in_rollout("stop"), PASS) is None)

    @pytest.mark.parametrize("does", ["hang", "garbage", "nothing", "redirect", 500])
    async def test_only_a_yes_is_a_yes(self, does: int | str) -> None:
        """A hook that is broken takes nothing back."""
        async with receiving(does) as gate, hook_harness(stop=hook(gate.url, "rollback", timeout=0.2)) as harness:
            harness.gates.rollback_reason(in_rollout("stop"), PASS)
            await wait_until(lambda: harness.counted.hook_outcomes)
            assert harness.gates.rollback_reason(in_rollout("stop"), PASS) is None

    @pytest.mark.parametrize("phase", set(Phase) - {Phase.IDLE})
    async def test_it_is_asked_wherever_a_rollback_is_possible(self, phase: Phase) -> None:
        """Also while waiting for an approval, paused, or before the first traffic; not once it is rolled back."""
        state = in_rollout("stop")
        assert state.rollout
        state = state.model_copy(update={"rollout": state.rollout.model_copy(update={"phase": phase})})
        over = phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.PROMOTED)
        async with receiving() as gate, hook_harness(stop=hook(gate.url, "rollback")) as harness:
            harness.gates.rollback_reason(state, PASS)
            if not over:
                await wait_until(lambda: harness.gates.rollback_reason(state, PASS))
            assert bool(gate.posted) is not over


class TestBody:
    """What a hook is sent."""

    async def test_it_is_flaggers_payload_with_weights_and_verdict(self) -> None:
        """name, namespace, phase, checksum, metadata as receivers made for Flagger expect them, and more."""
        metadata: Mapping[str, str] = {"team": "fraud"}
        async with receiving() as gate, hook_harness(qa=hook(gate.url, "rollout", metadata=metadata)) as harness:
            await passed(harness, in_rollout("qa", step=1))
        (posted,) = gate.posted
        assert posted.headers["content-type"] == "application/json"
        assert json.loads(posted.body) == {
            "name": "scorer",
            "namespace": "default",
            "phase": "Progressing",
            "checksum": "r1",
            "metadata": {"team": "fraud"},
            "type": "rollout",
            "weights": {"v2": 1000, "v1": 9000},
            "stable": "v1",
            "canary": "v2",
            "step": 1,
            "verdict": {"outcome": "pass", "reasons": [{"code": "no_harm", "text": "shown to be no worse"}]},
        }

    @pytest.mark.parametrize(
        ("state", "kind", "words"),
        [
            (in_rollout("all", weight=0), LedgerKind.STEP_ADVANCED, ["Waiting", "Progressing"]),
            (in_rollout("all", step=LAST), LedgerKind.PROMOTION_STARTED, ["Progressing", "WaitingPromotion"]),
        ],
        ids=["first traffic", "promotion"],
    )
    async def test_the_phase_is_in_flaggers_words(
        self, state: ServiceState, kind: LedgerKind, words: list[str]
    ) -> None:
        """Receivers compare them."""
        every = ("confirm-rollout", "pre-rollout", "rollout", "confirm-promotion")
        async with receiving() as gate, hook_harness(all=hook(gate.url, *every)) as harness:
            await passed(harness, state, kind)
        assert [json.loads(posted.body)["phase"] for posted in gate.posted] == words

    async def test_it_is_signed(self, tmp_path: Path) -> None:
        """Like notifications, so the same few lines check it."""
        secret = tmp_path / "secret"
        secret.write_text("key")
        async with receiving() as gate, hook_harness(qa=hook(gate.url, "rollout", secret_file=secret)) as harness:
            await passed(harness, in_rollout("qa"))
        (posted,) = gate.posted
        assert snippet("notifications.md", "verify")(b"key", posted.headers, posted.body)
