"""A rollout that the decider has driven, judged again from what was recorded of it."""

import pytest

from controller.admin.explanations import recording_message
from controller.cli.commands.backtest import read_records
from controller.core.control.sync import Sync
from controller.core.history.backtest import Backtest, BacktestTick, replay_ticks, run_backtest, start_rollout
from controller.core.history.recording import Recording
from controller.core.judge.verdict import Verdict
from controller.core.model.cluster_names import cluster_name
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.service import ErrorPolicy, LatencyPolicy, MetricPolicy
from controller.core.traffic.latency_buckets import bucket_of
from controller.core.traffic.readings import Counted
from controller.core.traffic.reports import ClusterLoad, ProxyMetrics
from controller.store.memory import MemoryStore
from tests.explain.rollouts import judged, measured, recorded, turn_bad
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import LoopHarness, running_loop, running_rollout, tick_until


async def test_the_same_policy_decides_the_same(harness: LoopHarness) -> None:
    """Every decision that was taken is taken again, for the same reason at the same second."""
    await tick_until(harness, Phase.PROGRESSING)
    await harness.ticks(12)
    await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.05)
    found = await judged(harness, (await harness.rollout()).policy)
    lines = [line for line in await harness.store.events() if line.entry.who == "haldane"]
    kinds = [line.entry.kind for line in lines if line.entry.kind != "rolled_back"]
    assert [turn.kind.value for turn in found.decisions] == kinds
    assert [turn.why for turn in found.decisions] == [line.entry.why for line in lines if line.entry.kind in kinds]
    assert [turn.wall for turn in found.decisions] == [line.at for line in lines if line.entry.kind in kinds]
    assert found.rollback
    assert found.peak >= found.limit == 100


@pytest.mark.parametrize("restart", [None, 5, 23])
async def test_every_verdict_is_reached_again(store: MemoryStore, clock: FakeClock, restart: int | None) -> None:
    """By the same policy each window leads to the same verdict for the same reasons and to the same decision; also
    with custom metrics, and with a controller that was stopped and started in the middle."""
    real: list[tuple[float, Verdict | None]] = []

    async def drive(harness: LoopHarness, looks: range) -> None:
        for number in looks:
            await turn_bad(harness, number)
            real.append((clock.wall(), harness.replica.live("scorer").verdict))

    async with measured(store, clock) as harness:
        await drive(harness, range(restart or 60))
        await harness.decider.save()
        await harness.recorder.save()
        recording = await recorded(harness)
        policy = (await harness.rollout()).policy
    if restart:
        async with running_loop(store, clock) as harness:
            await drive(harness, range(restart, 60))
            recording = await recorded(harness)
    again: dict[float, list[BacktestTick]] = {}  # a decision is looked at twice
    for look in replay_ticks(start_rollout(policy, "v1", "v2"), recording.windows.records()):
        again.setdefault(look.record.wall, []).append(look)
    (ended,) = [line for line in await store.events() if line.entry.kind == "rollback"]
    seen = [(when, verdict) for when, verdict in real if when <= ended.at]
    assert len(seen) > 40
    for when, verdict in seen:
        assert verdict in [look.verdict for look in again[when]]
    found = run_backtest(policy, "v1", "v2", recording.windows.records())
    lines = [line for line in await store.events() if line.entry.who == "haldane" and line.entry.kind != "rolled_back"]
    assert [(turn.wall, turn.why) for turn in found.decisions] == [(line.at, line.entry.why) for line in lines]


async def test_traffic_of_different_splits_is_judged_again_apart(harness: LoopHarness) -> None:
    """A proxy that gives stable everything where inputs are good, and one that serves the split where they are worse:
    added up, the canary would be rolled back; it was not, and is not when it is judged again."""
    harness.fleet.synced = Sync(1, 2, behind=("envoy-2",), splits={"envoy-2": "older"})
    clusters = [cluster_name("scorer", version) for version in ("v1", "v2")]
    for _ in range(60):
        loads = harness.loads(await harness.state(), canary_errors=0.1, stable_errors=0.1, rps=400)
        harness.clock.advance(0.5)
        harness.book.on_load_report("envoy-1", loads, 0.5, harness.clock.now)
        idle = dict(zip(clusters, (ClusterLoad(200, 200, 0), ClusterLoad()), strict=True))
        harness.book.on_load_report("envoy-2", idle, 0.5, harness.clock.now)
        await harness.look()
    recording = Recording.load((await recorded(harness)).dump())
    records = list(recording.windows.records())
    policy = (await harness.rollout()).policy.model_copy(update={"patience": 0.0})
    ways = {"apart": records, "added up": [record._replace(strata=()) for record in records]}
    found = {way: run_backtest(policy, "v1", "v2", told).rollback for way, told in ways.items()}
    assert found["added up"]
    assert (found["apart"], (await harness.kinds()).count("rollback")) == (None, 0)
    assert read_records(recording_message(recording, [])) == records


async def test_first_tokens_are_judged_again(harness: LoopHarness) -> None:
    """By a policy that asks for them: what was recorded of them tells a late canary from stable."""
    names = [cluster_name("scorer", version) for version in ("v1", "v2")]
    for tick in range(160):
        loads = harness.loads(await harness.state(), canary_errors=0.0, stable_errors=0.0, rps=100)
        harness.clock.advance(0.5)
        harness.book.on_load_report("envoy-1", loads, 0.5, harness.clock.now)
        first = {names[0]: {bucket_of(300.0): loads[names[0]].ok}, names[1]: {bucket_of(600.0): loads[names[1]].ok}}
        harness.book.on_metrics("envoy-1", ProxyMetrics(float(tick), ttft=first), harness.clock.now)
        await harness.look()
    recording = Recording.load((await recorded(harness)).dump())
    records = read_records(recording_message(recording, []))
    assert records == list(recording.windows.records())
    policy = (await harness.rollout()).policy.model_copy(update={"patience": 0.0})
    streaming = policy.model_copy(update={"latency": LatencyPolicy(tolerance=None, ttft_tolerance=0.1)})
    assert run_backtest(policy, "v1", "v2", records).rollback is None
    fired = run_backtest(streaming, "v1", "v2", records).rollback
    assert fired
    assert fired.verdict.reasons[0].code.startswith("ttft")


async def test_custom_metrics_are_judged_again_by_another_policy(store: MemoryStore, clock: FakeClock) -> None:
    """The same name with another margin, none, and a name that nobody read: that one is left out and named."""
    one = "  metrics: [{name: accuracy, margin: 5%}]\n"
    async with running_rollout(store, clock, metrics=("accuracy",), extra=one) as harness:
        for number in range(120):
            harness.readings = {"accuracy": Counted(40, 16, 160, 8)} if number % 4 == 0 else {}
            await harness.tick()
        policy = (await harness.rollout()).policy

        async def by(*metrics: MetricPolicy) -> Backtest:
            return await judged(harness, policy.model_copy(update={"metrics": metrics}))

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


async def test_a_wider_margin_would_not_have_fired(harness: LoopHarness) -> None:
    """2 % of errors are harm by one policy, and allowed by another: its evidence never gets there."""
    await tick_until(harness, Phase.PROGRESSING)
    await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.05)
    policy = (await harness.rollout()).policy
    wide = policy.model_copy(update={"errors": ErrorPolicy(margin=0.2, max=0.9)})
    found = await judged(harness, wide)
    assert found.rollback is None
    assert found.peak < 10


async def test_a_narrower_limit_would_have_fired_where_nothing_did(harness: LoopHarness) -> None:
    """A canary that was promoted would have been taken back by an absolute limit that both versions break."""
    await tick_until(harness, Phase.PROMOTED, canary_errors=0.02, stable_errors=0.02, rps=4000)
    policy = (await harness.rollout()).policy
    assert (await judged(harness, policy)).rollback is None
    cautious = policy.model_copy(update={"errors": ErrorPolicy(ratio=0.5, margin=0.001)})
    fired = (await judged(harness, cautious)).rollback
    assert fired
    assert fired.kind is LedgerKind.ROLLBACK
    assert fired.verdict.reasons[0].channel == "5xx"


async def test_persons_and_hooks_say_yes(harness: LoopHarness) -> None:
    """A policy that asks somebody is judged as if he had agreed at once: nobody was there to be asked."""
    await tick_until(harness, Phase.PROMOTED)
    policy = (await harness.rollout()).policy
    asking = policy.model_copy(update={"approve": (5000, 10_000), "hooks": ("review",)})
    found = await judged(harness, asking)
    assert found.phase is Phase.PROMOTED
    assert LedgerKind.APPROVAL_NEEDED not in [turn.kind for turn in found.decisions]
