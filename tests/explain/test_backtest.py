"""A rollout that the loop has driven, judged again from what was recorded of it."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.admin.history import History
from controller.admin.looks import Looks
from controller.core.backtest import Backtest, Look, judge_again, looks, started
from controller.core.commands import Verb
from controller.core.decision import Kind
from controller.core.readings import Counted, Gauged, Reading, Unread
from controller.core.record import Record
from controller.core.recording import Recording
from controller.core.rollout import Phase
from controller.core.spec import ErrorPolicy, MetricPolicy, Policy
from controller.core.verdict import Verdict
from controller.operations import Operations
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.recorder import Recorder
from controller.store.memory import MemoryStore
from tests.cli.conftest import Haldane
from tests.cli.desk import Desk
from tests.loop.world import TwoClocks, World, running


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
def store(clock: TwoClocks) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
async def at(store: MemoryStore, clock: TwoClocks) -> AsyncIterator[World]:
    """A loop with a rollout of v2 that has just started."""
    async with running(store, clock) as world:
        await world.apply()
        await world.act(Verb.START, canary="v2")
        yield world


async def until(at: World, phase: Phase, **traffic: float) -> None:
    """Traffic until the rollout is in that phase."""
    for _ in range(400):
        if (await at.rollout()).phase is phase:
            return
        await at.tick(**traffic)  # type: ignore[arg-type]
        await asyncio.sleep(0)
    raise AssertionError(await at.rollout())


async def recorded(at: World) -> Recording:
    """What is kept of the rollout."""
    found = await at.recorder.find((await at.rollout()).id)
    assert found is not None
    return found


async def judged(at: World, policy: Policy) -> Backtest:
    """It, judged again."""
    recording = await recorded(at)
    return judge_again(policy, "v1", "v2", recording.tape.records())


async def test_the_same_policy_decides_the_same(at: World) -> None:
    """Every decision that was taken is taken again, for the same reason at the same second."""
    await until(at, Phase.PROGRESSING)
    await at.ticks(12)
    await until(at, Phase.ROLLED_BACK, canary_errors=0.05)
    found = await judged(at, (await at.rollout()).policy)
    lines = [line for line in await at.store.events() if line.entry.who == "haldane"]
    kinds = [line.entry.kind for line in lines if line.entry.kind != "rolled_back"]
    assert [turn.kind.value for turn in found.turns] == kinds
    assert [turn.why for turn in found.turns] == [line.entry.why for line in lines if line.entry.kind in kinds]
    assert [turn.wall for turn in found.turns] == [line.at for line in lines if line.entry.kind in kinds]
    assert found.rollback
    assert found.peak >= found.limit == 100


METRICS = "  metrics: [{name: accuracy, margin: 5%}, {name: queue, margin: 50%}]\n"


def read(number: int) -> dict[str, Reading]:
    """What Prometheus says at every fourth look: labels, a queue, now and then neither."""
    if number % 4:
        return {}
    if number % 28 == 0:
        return {"accuracy": Unread("of v2: NaN"), "queue": Unread("of v2: NaN")}
    return {"accuracy": Counted(40, 2, 160, 8), "queue": Gauged(4.0 + number % 3, 5.0, True, 3, 5)}


async def roll_back(world: World) -> None:
    """A rollout with custom metrics whose canary turns bad at the second step."""
    world.operations = Operations(world.store, world.clock, (), ("accuracy", "queue"))
    await world.apply(extra=METRICS)
    await world.act(Verb.START, canary="v2")
    for number in range(60):
        world.readings = read(number)
        await world.tick(canary_errors=0.0 if number < 40 else 0.1)


@pytest.mark.parametrize("restart", [None, 5, 23])
async def test_every_verdict_is_reached_again(store: MemoryStore, clock: TwoClocks, restart: int | None) -> None:
    """By the same policy each window leads to the same verdict for the same reasons and to the same decision; also
    with custom metrics, and with a controller that was stopped and started in the middle."""
    real: list[tuple[float, Verdict | None]] = []

    async def drive(world: World, looks: range) -> None:
        for number in looks:
            world.readings = read(number)
            await world.tick(canary_errors=0.0 if number < 40 else 0.1)
            real.append((clock.date, world.loop.live("scorer").verdict))

    async with running(store, clock) as world:
        world.operations = Operations(store, clock, (), ("accuracy", "queue"))
        await world.apply(extra=METRICS)
        await world.act(Verb.START, canary="v2")
        await drive(world, range(restart or 60))
        await world.loop.save()
        await world.recorder.save()
        recording = await recorded(world)
        policy = (await world.rollout()).policy
    if restart:
        async with running(store, clock) as world:
            await drive(world, range(restart, 60))
            recording = await recorded(world)
    again: dict[float, list[Look]] = {}  # a decision is looked at twice
    for look in looks(started(policy, "v1", "v2"), recording.tape.records()):
        again.setdefault(look.record.wall, []).append(look)
    (ended,) = [line for line in await store.events() if line.entry.kind == "rollback"]
    seen = [(at, verdict) for at, verdict in real if at <= ended.at]
    assert len(seen) > 40
    for at, verdict in seen:
        assert verdict in [look.verdict for look in again[at]]
    found = judge_again(policy, "v1", "v2", recording.tape.records())
    lines = [line for line in await store.events() if line.entry.who == "haldane" and line.entry.kind != "rolled_back"]
    assert [(turn.wall, turn.why) for turn in found.turns] == [(line.at, line.entry.why) for line in lines]


async def test_custom_metrics_are_judged_again_by_another_policy(store: MemoryStore, clock: TwoClocks) -> None:
    """The same name with another margin, none, and a name that nobody read: that one is left out and named."""
    async with running(store, clock) as world:
        world.operations = Operations(store, clock, (), ("accuracy",))
        await world.apply(extra="  metrics: [{name: accuracy, margin: 5%}]\n")
        await world.act(Verb.START, canary="v2")
        for number in range(120):
            world.readings = {"accuracy": Counted(40, 16, 160, 8)} if number % 4 == 0 else {}
            await world.tick()
        policy = (await world.rollout()).policy

        async def by(*metrics: MetricPolicy) -> Backtest:
            return await judged(world, policy.model_copy(update={"metrics": metrics}))

        same, strict = await by(*policy.metrics), await by(MetricPolicy(name="accuracy", margin=0.001))
        loose, none = await by(MetricPolicy(name="accuracy", margin=0.6)), await by()
        more = await by(*policy.metrics, MetricPolicy(name="tokens"))
        other = await by(MetricPolicy(name="tokens"))
        really = next(line for line in await store.events() if line.entry.kind == "rollback")
    assert same.rollback
    assert (same.rollback.wall, same.rollback.why) == (really.at, really.entry.why)
    assert strict.rollback
    assert strict.rollback.time <= same.rollback.time
    assert (loose.rollback, none.rollback, other.rollback) == (None, None, None)
    assert more.rollback
    assert (same.left_out, more.left_out, other.left_out) == ((), ("tokens",), ("tokens",))
    assert same.peaks["accuracy"] > 400 > 10 > loose.peaks["accuracy"]


async def test_each_decision_takes_its_evidence_into_the_ledger(store: MemoryStore, clock: TwoClocks) -> None:
    """Every channel and metric as it stood, and the limit: a rollback is explicable when its recording is gone."""
    async with running(store, clock) as world:
        await roll_back(world)
    lines = [line for line in await store.events() if line.entry.who == "haldane"]
    assert [line.entry.kind for line in lines] == ["rollout_warm", "step_advanced", "rollback", "rolled_back"]
    told: list[Any] = [line.entry.details["evidence"] for line in lines]
    assert [found["total"] >= found["limit"] for found in told] == [False, False, True, True]
    assert {"5xx", "latency_p99", "accuracy"} < told[2]["harm"].keys()
    assert told[2]["harm"]["5xx"] > 100
    assert (told[1]["no_harm"]["accuracy"] >= 20, told[1]["worse"]) == (True, {"queue": 0})


async def test_a_wider_margin_would_not_have_fired(at: World) -> None:
    """2 % of errors are harm by one policy, and allowed by another: its evidence never gets there."""
    await until(at, Phase.PROGRESSING)
    await until(at, Phase.ROLLED_BACK, canary_errors=0.05)
    policy = (await at.rollout()).policy
    wide = policy.model_copy(update={"errors": ErrorPolicy(margin=0.2, max=0.9)})
    found = await judged(at, wide)
    assert found.rollback is None
    assert found.peak < 10


async def test_a_narrower_limit_would_have_fired_where_nothing_did(at: World) -> None:
    """A canary that was promoted would have been taken back by an absolute limit that both versions break."""
    await until(at, Phase.PROMOTED, canary_errors=0.02, stable_errors=0.02, rps=4000)
    policy = (await at.rollout()).policy
    assert (await judged(at, policy)).rollback is None
    cautious = policy.model_copy(update={"errors": ErrorPolicy(ratio=0.5, margin=0.001)})
    fired = (await judged(at, cautious)).rollback
    assert fired
    assert fired.kind is Kind.ROLLBACK
    assert fired.verdict.reasons[0].channel == "5xx"


async def test_persons_and_hooks_say_yes(at: World) -> None:
    """A policy that asks somebody is judged as if he had agreed at once: nobody was there to be asked."""
    await until(at, Phase.PROMOTED)
    policy = (await at.rollout()).policy
    asking = policy.model_copy(update={"approve": (5000, 10_000), "hooks": ("review",)})
    found = await judged(at, asking)
    assert found.phase is Phase.PROMOTED
    assert Kind.APPROVAL_NEEDED not in [turn.kind for turn in found.turns]


async def test_a_crash_costs_half_a_minute_of_the_record(store: MemoryStore, clock: TwoClocks) -> None:
    """The record goes on after a restart where the judge goes on; nothing is in it twice."""
    async with running(store, clock) as world:
        await world.apply()
        await world.act(Verb.START, canary="v2")
        await until(world, Phase.PROGRESSING)
        await world.ticks(4)
        await world.recorder.save()
        await world.loop.save()
        await world.ticks(8)  # these are lost
        saved = Recording.load(zlib.decompress(await store.load_recording((await world.rollout()).id) or b"").decode())
    async with running(store, clock) as world:
        await until(world, Phase.ROLLED_BACK, canary_errors=0.2)
        recording = await recorded(world)
        records = list(recording.tape.records())
        times = [record.since for record in records]
        assert times == sorted(times)
        assert records[: len(saved.tape.lines()) - 1] == list(saved.tape.records())[:-1]
        found = judge_again((await world.rollout()).policy, "v1", "v2", records)
        assert found.rollback


async def test_the_record_of_a_rollout_that_is_over_is_kept_apart(at: World) -> None:
    """Each rollout has its own, also when the next one of the service runs; memory holds the running ones alone."""
    await until(at, Phase.ROLLED_BACK, canary_errors=0.5)
    first = await recorded(at)
    await at.recorder.save()
    await at.tick()
    await at.act(Verb.START, canary="v2")
    await until(at, Phase.PROMOTED)
    second = await recorded(at)
    again = await at.recorder.find(first.rollout_id)
    assert again is not None
    assert again is not first
    assert again.dump() == first.dump()
    assert (again.trace.points[-1].total >= 100, second.trace.points[-1].total < 100) == (True, True)


async def test_a_rollout_whose_record_is_gone_is_explained_by_its_ledger(store: MemoryStore, clock: TwoClocks) -> None:
    """The evidence at each decision, custom metrics and the limit too; and that the rest is missing is said."""
    async with running(store, clock) as world:
        await roll_back(world)
        history = History(world.operations, Looks(world.operations, world.loop, world.fleet), Recorder(store, clock))
        told = await history.explain(admin.ExplainRolloutRequest(service="scorer"), "alice")
    assert "no longer kept" in told.missing
    assert (told.decided, told.limit, len(told.history)) == ("5xx", 100.0, 4)
    assert [point.weight for point in told.history] == [2000, 2000, 5000, 0]
    assert told.history[2].total >= told.limit
    assert told.history[2].harm["5xx"] > told.history[1].harm["5xx"]
    assert "queue" in told.history[2].worse


class TestCommand:
    """`haldane backtest`, against an admin door."""

    @pytest.fixture
    async def recording(self, at: World) -> Recording:
        """Of a rollout with 20 % of errors."""
        await until(at, Phase.ROLLED_BACK, canary_errors=0.2)
        return await recorded(at)

    @pytest.fixture
    def line(self, scorer: Path, haldane: Haldane, desk: Desk, recording: Recording) -> int:
        """A ledger line of a rollout of which that recording is kept."""
        haldane("start", "scorer", "--canary", "v2")
        event = haldane("events", "scorer", "-o", "json").document["events"][-1]
        recording.rollout_id = event["details"]["rollout"]
        desk.do(desk.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        return int(event["sequence"])

    def test_it_says_whether_and_when(self, line: int, scorer: Path, haldane: Haldane, tmp_path: Path) -> None:
        """In words for people, in numbers for programs."""
        text = haldane("backtest", "--from", str(line), "-f", str(scorer))
        assert (text.code, text.err) == (0, "")
        assert "it would have fired after" in text.out
        assert "on 5xx; really it did not" in text.out
        told = haldane("backtest", "--from", str(line), "-f", str(scorer), "-o", "json").document
        assert (told["fired"], told["channel"], told["phase"]) == (True, "5xx", "ROLLING_BACK")
        assert told["decisions"][-1]["kind"] == "rollback"
        assert told["really"][0]["kind"] == "rollout_started"
        wide = tmp_path / "wide.yaml"
        wide.write_text(scorer.read_text() + "policy: {errors: {margin: 50%, max: 90%}}\n")
        calm = haldane("backtest", "--from", str(line), "-f", str(wide))
        assert "it would not have fired: the evidence of harm reached" in calm.out

    def test_what_is_not_on_record_is_said(
        self, line: int, recording: Recording, scorer: Path, haldane: Haldane, desk: Desk
    ) -> None:
        """A metric that nobody read then, and a time that nobody saw: left out of the judgement, not of the answer."""
        recording.tape.cut(3.0)
        last = list(recording.tape.records())[-1]
        gauge: dict[str, Reading] = {"queue": Gauged(4.0, None, True, 3, 5), "labels": Unread("of v2: NaN")}
        recording.tape.add(
            Record(last.at + 20.0, last.at + 21.0, last.wall + 21.0, 500, last.stable, last.canary, gauge)
        )
        desk.do(desk.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        scorer.write_text(scorer.read_text() + "policy: {metrics: [{name: tokens}, {name: queue}, {name: labels}]}\n")
        text = haldane("backtest", "--from", str(line), "-f", str(scorer)).out
        assert "20s of it are missing" in text
        assert "left out, since nothing is on record: tokens; what would have come of it is not known" in text
        told = haldane("backtest", "--from", str(line), "-f", str(scorer), "-o", "json").document
        assert (told["left_out"], told["missing_seconds"]) == (["tokens"], 20.0)

    def test_what_cannot_be_judged_is_refused(self, line: int, scorer: Path, haldane: Haldane, tmp_path: Path) -> None:
        """No such line, a line of no rollout, a file that is none: each is said, with the exit code of its kind."""
        haldane("freeze", "--all", "--reason", "incident 42")
        for sequence, said in ((99, "no line 99"), (line + 1, "freeze_set) is of no rollout")):
            refused = haldane("backtest", "--from", str(sequence), "-f", str(scorer))
            assert refused.code == 4
            assert said in refused.err
        broken = tmp_path / "broken.yaml"
        broken.write_text("service: x\n")
        assert haldane("backtest", "--from", str(line), "-f", str(broken)).code == 2
        assert haldane("backtest", "--from", "0", "-f", str(scorer)).code == 2

    def test_a_rollout_whose_record_is_gone(self, scorer: Path, haldane: Haldane) -> None:
        """It was never recorded, or is no longer kept: that is said, and the code is that of what is not there."""
        haldane("start", "scorer", "--canary", "v2")
        refused = haldane("backtest", "--from", "2", "-f", str(scorer))
        assert (refused.code, "not kept" in refused.err) == (4, True)


class TestExplain:
    """`haldane explain`, against an admin door."""

    def test_before_any_rollout_there_is_nothing_to_explain(self, scorer: Path, haldane: Haldane) -> None:
        """Unknown services and services without a rollout are told apart."""
        assert haldane("explain", "nobody").code == 4
        assert haldane("explain", "scorer").code == 5

    def test_without_a_record_the_decisions_are_told(self, scorer: Path, haldane: Haldane) -> None:
        """The ledger is there whatever became of the recording, and the lack of one is said."""
        haldane("start", "scorer", "--canary", "v2", "--reason", "better recall")
        told = haldane("explain", "scorer")
        assert (told.code, told.err) == (0, "")
        assert "no evidence over time: its evidence was not recorded" in told.out
        assert "better recall" in told.out
        assert "from the ledger" not in told.out
        document = haldane("explain", "scorer", "-o", "json").document
        assert (document["history"], document["decided"], document["canary"]) == ([], "", "v2")

    @pytest.mark.parametrize("columns", [60, 80])
    def test_no_line_is_wider_than_the_columns_that_were_asked_for(
        self, scorer: Path, haldane: Haldane, monkeypatch: pytest.MonkeyPatch, columns: int
    ) -> None:
        """COLUMNS counts where the output is no terminal too; without it lines have 100 columns at most."""
        haldane("start", "scorer", "--canary", "v2", "--reason", "better recall, " * 20)
        widest = {}
        for given in ("", str(columns)):
            monkeypatch.setenv("COLUMNS", given)
            widest[given] = max(map(len, haldane("explain", "scorer").out.splitlines()))
        assert 80 < widest[""] <= 100
        assert widest[str(columns)] <= columns

    async def test_an_earlier_rollout(self, at: World, scorer: Path, haldane: Haldane, desk: Desk) -> None:
        """By any of its lines, also when another rollout has followed."""
        await until(at, Phase.ROLLED_BACK, canary_errors=0.2)
        recording = await recorded(at)
        haldane("start", "scorer", "--canary", "v2")
        first = haldane("events", "scorer", "-o", "json").document["events"][-1]
        recording.rollout_id = first["details"]["rollout"]
        desk.do(desk.store.save_recording(recording.rollout_id, zlib.compress(recording.dump().encode())))
        haldane("rollback", "scorer", "--reason", "no")
        text = haldane("explain", "scorer", "--from", str(first["sequence"])).out
        assert "an earlier rollout" in text
        assert "5xx" in text
        assert "█" in text
        told = haldane("explain", "scorer", "--from", str(first["sequence"]), "-o", "json").document
        assert told["rollout"] is None
        assert told["channels"] == json.loads(json.dumps(told["channels"]))
        assert max(point["total"] for point in told["history"]) >= told["limit"]
