"""The three acts. Each ends with checks of what clients, both Envoys and the ledger must have observed."""

import asyncio
import shlex
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from controller.core.base.units import TOTAL_WEIGHT, counted, format_weight
from controller.demo.admin_api import AdminApi
from controller.demo.digit_models import ModelFault
from controller.demo.environment import SERVICE
from controller.demo.ha.cluster import Cluster, Replica
from controller.demo.ha.observer import HaObserver
from controller.demo.scenario_run import Act
from controller.demo.traffic_split import to_monotonic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

AUTOMATION = "haldane"
"""Who the ledger names for what automation does."""
BEYOND_TTL, HARM_BEYOND_TTL = 2.0, 5.0
"""Seconds beyond the lease's within which another one must decide, and the last bad answer must have come."""
HANDOVER = 1.0
"""Seconds within which another one must decide after SIGTERM."""
QUIET = 1.0
"""Seconds after a rollback in which no client may get a response from the bad version."""
AWAY = 3.0
"""Seconds for which etcd has no majority."""


@dataclass(slots=True, kw_only=True)
class HaAct(Act):
    """What an act acts on."""

    cluster: Cluster
    observer: HaObserver

    def leader(self) -> Replica:
        """The one that decides."""
        leader = self.observer.leader
        assert leader is not None
        return leader


async def killed_leader(act: HaAct) -> None:
    """The leader is killed in the middle of a rollout; another one goes on from the same step."""
    observer, began, last = act.observer, time.monotonic(), act.observer.last_sequence
    await _start(act, "v2", "trained on three times as many images")
    leader = act.leader()
    killed = act.cluster.end(leader)
    act.show(f"$ kill -9 {leader.name}, which decides")
    await _check_succession(act, killed, last, act.cluster.ttl + BEYOND_TTL, "killed -> another decides {:.1f} s")
    await observer.until_event("promoted", last, 60)
    await _until_all_serve(act, {"v2": TOTAL_WEIGHT})
    _check_climbs(act, began, "v2", [2000, 5000, 9500, TOTAL_WEIGHT])
    _check_no_failure(act, began)
    await _bring_back(act, leader)


async def harm_at_the_kill(act: HaAct) -> None:
    """A canary begins to do harm at the moment in which the leader is killed; its successor rolls it back."""
    observer, last, ttl = act.observer, act.observer.last_sequence, act.cluster.ttl
    await act.cluster.load_build("v3", ModelFault.NONE)
    await _start(act, "v3", "faster features")
    await observer.until_event("rollout_warm", last, 30)
    leader, began = act.leader(), time.monotonic()
    await act.cluster.load_build("v3", ModelFault.EXCEPTION)
    killed = act.cluster.end(leader)
    act.show(f"$ kill -9 {leader.name}, which decides; from now on v3 fails for a quarter of the images")
    rollback = await observer.until_event("rollback", last, ttl + 20)
    await _until_all_serve(act, {"v2": TOTAL_WEIGHT})
    applied = time.monotonic()
    await observer.until_event("rolled_back", last, 15)
    act.check(f"the ledger says that {AUTOMATION} rolled v3 back", rollback.who == AUTOMATION)
    bad = [r for r in observer.load.results if r.version == "v3" and not r.ok and r.ended >= began]
    act.check(f"clients saw v3 fail: {counted(len(bad), 'answer')}", bool(bad))
    after = max((r.ended for r in bad), default=killed) - killed
    limit = ttl + HARM_BEYOND_TTL
    act.check(f"the last bad answer came {after:.1f} s after the kill, within {limit:g} s", after <= limit)
    await asyncio.sleep(QUIET)
    strays = sum(r.version != "v2" for r in observer.load.results if r.sent > applied + 0.1)
    act.check(f"since then clients see v2 alone: {counted(strays, 'other answer')}", not strays)
    others = sum(not r.ok and r.version != "v3" for r in observer.load.results if r.ended >= began)
    act.check(f"no answer of another version failed: {others}", not others)
    decided = to_monotonic(rollback.at) - killed
    act.measure(f"killed, and harm begins -> rolled back {decided:.1f} s; last bad answer {after:.1f} s")
    await _bring_back(act, leader)


async def frozen(act: HaAct) -> None:
    """A freeze through a follower outlives the leader; without a majority nothing is accepted and nothing moves."""
    observer, began, last = act.observer, time.monotonic(), act.observer.last_sequence
    follower = observer.followers[0]
    act.show(f"everything is frozen over gRPC, 'incident 42', through {follower.name}, which does not decide")
    took = await _freeze(observer.api(follower), "incident 42")
    leader = act.leader()
    signalled = act.cluster.end(leader, signal.SIGTERM)
    act.show(f"$ kill -TERM {leader.name}, which decides")
    await _check_succession(act, signalled, last, HANDOVER, "SIGTERM -> another decides {:.2f} s")
    await _check_frozen(act, "the freeze is in force with the next one too")
    lost = act.cluster.etcd.members[:2]
    for member in lost:
        member.kill()
    act.show(f"$ kill -9 {lost[0].name} {lost[1].name}: etcd has no majority")
    refused = await act.cluster.try_command(observer.followers[0], "freeze", SERVICE, "--reason", "not durable")
    why = refused.err.splitlines()[0] if refused.err else ""
    act.check(f"a freeze is not accepted now, with exit code {refused.code}: {why}", refused.code != 0)
    await asyncio.sleep(AWAY)
    act.cluster.etcd.start_missing()
    act.show("the members are started again")
    for replica in act.cluster.running:
        await act.cluster.until_ready(replica)
    await _check_frozen(act, "the first freeze is still in force, at every controller")
    await act.cluster.command(act.cluster.running[-1], "unfreeze", "--all", "--reason", "over")
    _check_no_failure(act, began)
    moved = [name for name, splits in observer.splits.items() if splits[-1].since > began]
    act.check(f"no weight moved at an Envoy: {', '.join(moved) or 'none'}", not moved)
    act.measure(f"a freeze at a follower was answered, durable on a majority, after {took * 1000:.0f} ms")
    await _bring_back(act, leader)
    act.show("$ haldane events --verify")
    verified = await act.cluster.try_command(act.cluster.running[0], "events", "--verify")
    act.check(f"the ledger is whole: {verified.out.splitlines()[-1] if verified.out else ''}", verified.code == 0)


async def _start(act: HaAct, canary: str, why: str) -> None:
    await act.observer.until_leader(20)
    act.show(f"$ haldane start {SERVICE} --canary {canary} --reason {shlex.quote(why)}, sent to a follower")
    await act.cluster.command(act.observer.followers[0], "start", SERVICE, "--canary", canary, "--reason", why)
    await act.observer.until(
        f"both Envoys serve {canary}", lambda: all(canary in weights for weights in act.observer.weights()), 10
    )


async def _freeze(api: AdminApi, reason: str) -> float:
    """Freeze everything: the seconds until it was answered."""
    began = time.monotonic()
    await api.call("KillSwitch/Freeze", pb.FreezeRequest(all=True, reason=reason), pb.FreezeResponse)
    return time.monotonic() - began


async def _check_succession(act: HaAct, since: float, last: int, within: float, measured: str) -> None:
    event = await act.observer.until_event("term_begun", last, within + 15)
    took = to_monotonic(event.at) - since
    act.check(f"another controller decided within {within:g} s: {event.why}", took <= within)
    act.measure(measured.format(took))


async def _check_frozen(act: HaAct, text: str) -> None:
    standing = []
    for replica in act.cluster.running:
        response = await act.observer.api(replica).call(
            "KillSwitch/ListFreezes", pb.ListFreezesRequest(), pb.ListFreezesResponse
        )
        standing.append([freeze.reason for freeze in response.freezes])
    act.check(text, all("incident 42" in each for each in standing))


async def _until_all_serve(act: HaAct, weights: dict[str, int]) -> None:
    shown = ", ".join(f"{version} {format_weight(weight)}" for version, weight in weights.items())
    await act.observer.until(
        f"both Envoys serve {shown}", lambda: all(each == weights for each in act.observer.weights()), 10
    )


async def _bring_back(act: HaAct, replica: Replica) -> None:
    act.show(f"{replica.name} is started again, and follows")
    act.cluster.start(replica)
    await act.cluster.until_ready(replica)


def _check_climbs(act: HaAct, since: float, version: str, policy: Sequence[int]) -> None:
    for name in act.observer.splits:
        served = [p.weights[version] for p in act.observer.served(name, since) if version in p.weights]
        shown = ", ".join(map(format_weight, served))
        act.check(f"{name} served {version} at {shown}: each step once, in order", served == list(policy))


def _check_no_failure(act: HaAct, since: float) -> None:
    results = [r for r in act.observer.load.results if r.sent >= since]
    failed = [r for r in results if not r.ok]
    act.check(
        f"no client saw an error: {len(failed)} of {counted(len(results), 'answer')}", bool(results and not failed)
    )


ACTS: tuple[tuple[str, Callable[[HaAct], Coroutine[Any, Any, None]]], ...] = (
    ("the leader is killed in the middle of a rollout, which goes on", killed_leader),
    ("harm begins at the moment of the kill, and is ended by the successor", harm_at_the_kill),
    ("a freeze outlives its leader, and the loss of etcd's majority", frozen),
)
