"""What fails in the networked trial beside processes, each fault with its end: links, clocks and disks."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.store.etcd.client import EtcdClient
from tests.controllers.networked import CLIENTS, NetworkedController, NetworkedTrial, PlacedMember, PlacedMembers
from tests.controllers.trial import STARTS_WITHIN
from tests.support.waiting import wait_until

HOUR = 3600
CUT = 6.0
"""Seconds that a link is cut: longer than all that notices it (Envoy's pings 4 s, the relay 3 s, the lease 5 s)."""
FROZEN = 8
"""Seconds of a freeze that ends by itself."""
EARLY, LATE = 0.5, 6.0
"""Seconds by which the end of such a freeze may be seen too soon and too late."""


async def cut_leader_from_etcd(made: NetworkedTrial) -> None:
    """Nothing passes between the leader and etcd: another one decides, and the former one says that it is not ready."""
    leader = await made.leading()
    with made.cut([leader.place], made.etcd_places):
        await made.leader(other_than=leader)
        await wait_until(lambda: _is_not_ready(leader))
    await wait_until(leader.ready, STARTS_WITHIN)


async def cut_leader_from_followers(made: NetworkedTrial) -> None:
    """Nothing is relayed: proxies of the others are not seen, and none else decides."""
    leader = await made.leading()
    with made.cut([leader.place], [each.place for each in await made.followers()]):
        await made.dwell(CUT)
        assert await made.leading() is leader


async def cut_envoy_from_controller(made: NetworkedTrial) -> None:
    """An Envoy's link to its controller: it goes to another one."""
    await _cut_envoy(made, one_way=False)


async def drop_from_envoy(made: NetworkedTrial) -> None:
    """An Envoy hears its controller, which does not hear it."""
    await _cut_envoy(made, one_way=True)


async def drop_to_envoy(made: NetworkedTrial) -> None:
    """A controller hears an Envoy, which does not hear it."""
    envoy = made.dice.choice(["envoy-0", "envoy-1"])
    before = await made.controller_of(envoy)
    with made.cut([before.place], [made.network.places[envoy]], one_way=True):
        await _moved(made, envoy, before)


async def cut_member_off(made: NetworkedTrial) -> None:
    """One member of etcd hears no other one, while controllers reach it."""
    (member,) = made.dice.sample(made.etcd_places, 1)
    others = [each for each in made.etcd_places if each is not member]
    with made.cut([member], others):
        await made.dwell(CUT)
        await made.leader()


async def drop_from_leader(made: NetworkedTrial) -> None:
    """What the leader sends to etcd is lost; it hears etcd."""
    leader = await made.leading()
    with made.cut([leader.place], made.etcd_places, one_way=True):
        await made.leader(other_than=leader)
    await wait_until(leader.ready, STARTS_WITHIN)


async def drop_to_leader(made: NetworkedTrial) -> None:
    """What etcd sends to the leader is lost; etcd hears it, and so perhaps applies what it is not told of."""
    leader = await made.leading()
    with made.cut(made.etcd_places, [leader.place], one_way=True):
        await made.leader(other_than=leader)
    await wait_until(leader.ready, STARTS_WITHIN)


async def leader_clock_ahead(made: NetworkedTrial) -> None:
    """The leader's clock jumps an hour ahead, in a rollout and under freezes."""
    await _clock_jumps(made, await made.leading(), HOUR)


async def leader_clock_back(made: NetworkedTrial) -> None:
    """The same, back."""
    await _clock_jumps(made, await made.leading(), -HOUR)


async def follower_clock_ahead(made: NetworkedTrial) -> None:
    """That of one that does not decide."""
    await _clock_jumps(made, (await made.followers())[0], HOUR)


async def follower_clock_back(made: NetworkedTrial) -> None:
    """The same, back."""
    await _clock_jumps(made, (await made.followers())[0], -HOUR)


async def leader_changes_between_clocks(made: NetworkedTrial) -> None:
    """The leader is killed under freezes, and each of its possible successors has another time, an hour off."""
    leader = await made.leading()
    ahead, back = await made.followers()
    ahead.clock.jump_to(HOUR)
    back.clock.jump_to(-HOUR)
    try:
        async with asyncio.TaskGroup() as tasks:
            for at in (ahead, back):
                tasks.create_task(_holds_as_long_as_asked(made, at))
            await made.dwell(1.0)
            leader.kill()
            await made.leader(other_than=leader)
    finally:
        for each in made.all_controllers():
            each.clock.jump_to(0)
    await leader.start(STARTS_WITHIN)


async def fill_member(made: NetworkedTrial) -> None:
    """The disk of one member of etcd is full: it ends at the next thing that it has to store, and whenever it is
    started again, until there is space."""
    assert isinstance(made.members, PlacedMembers)
    member = made.dice.choice(made.members.members)
    client = EtcdClient([f"{place.address}:{CLIENTS}" for place in made.etcd_places if place is not member.place])
    try:
        member.disk.fill()
        await _until_ended(member, client)
        member.launch()
        await _until_ended(member, client)
        await made.leader()
    finally:
        member.disk.clear()
        await client.close()
    made.members.start_missing()
    await made.leader()


async def _until_ended(member: PlacedMember, client: EtcdClient) -> None:
    """Have etcd store so much that it notices, until that member has ended."""

    async def has_ended() -> bool:
        await client.put("/ballast", os.urandom(1 << 17))
        return not member.running

    await wait_until(has_ended, 60, every=0.1)


async def fill_leader(made: NetworkedTrial) -> None:
    """The disk of the leader's own state is full: it goes on, and starts again."""
    leader = await made.leading()
    leader.disk.fill()
    try:
        await made.dwell(2.0)
        leader.kill()
        await made.leader(other_than=leader)
        await leader.start(STARTS_WITHIN)
    finally:
        leader.disk.clear()


async def _is_not_ready(controller: NetworkedController) -> bool:
    return not await controller.ready()


async def _cut_envoy(made: NetworkedTrial, *, one_way: bool) -> None:
    envoy = made.dice.choice(["envoy-0", "envoy-1"])
    before = await made.controller_of(envoy)
    with made.cut([made.network.places[envoy]], [before.place], one_way=one_way):
        await _moved(made, envoy, before)


async def _moved(made: NetworkedTrial, envoy: str, before: NetworkedController) -> None:
    async def is_elsewhere() -> bool:
        return await made.controller_of(envoy) is not before

    await wait_until(is_elsewhere, 30)
    await made.dwell(1.0)


async def _clock_jumps(made: NetworkedTrial, whose: NetworkedController, by: int) -> None:
    """A freeze was set before the jump, another one comes after it at the same controller: each holds as long as was
    asked for. Then the clock is put right, in the middle of the rollout."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_holds_as_long_as_asked(made, whose, "before the jump"))
            await made.dwell(1.0)
            whose.clock.jump_to(by)
            tasks.create_task(_holds_as_long_as_asked(made, whose, "after the jump"))
        await made.dwell(made.ttl)
    finally:
        whose.clock.jump_to(0)


async def _holds_as_long_as_asked(made: NetworkedTrial, at: NetworkedController, reason: str = "") -> None:
    """Freeze for some seconds at that controller; count it as lost if it ends sooner, fail if it does not end."""
    reason = reason or f"at {at.name}"
    async with at.stubs() as stubs:
        await stubs.killswitch.Freeze(pb.FreezeRequest(all=True, reason=reason, ttl=f"{FROZEN}s"), timeout=10)
    begun = time.monotonic()

    async def is_over() -> bool:
        told = await made.insist(lambda stubs: stubs.killswitch.ListFreezes(pb.ListFreezesRequest()))
        assert isinstance(told, pb.ListFreezesResponse)
        return reason not in [each.reason for each in told.freezes]

    await wait_until(is_over, FROZEN + LATE, every=0.1)
    if time.monotonic() - begun < FROZEN - EARLY:
        made.lost += 1
        print(f"the freeze {reason} ended after {time.monotonic() - begun:.1f} of {FROZEN} s", flush=True)


FAULTS: dict[str, Callable[[NetworkedTrial], Awaitable[object]]] = {
    "leader cut off from etcd": cut_leader_from_etcd,
    "leader cut off from followers": cut_leader_from_followers,
    "Envoy cut off from its controller": cut_envoy_from_controller,
    "member cut off from the others": cut_member_off,
    "leader to etcd: lost": drop_from_leader,
    "etcd to leader: lost": drop_to_leader,
    "Envoy to controller: lost": drop_from_envoy,
    "controller to Envoy: lost": drop_to_envoy,
    "leader's clock an hour ahead": leader_clock_ahead,
    "leader's clock an hour back": leader_clock_back,
    "follower's clock an hour ahead": follower_clock_ahead,
    "follower's clock an hour back": follower_clock_back,
    "clocks differ, leader killed": leader_changes_between_clocks,
    "a member's disk full": fill_member,
    "leader's disk full": fill_leader,
}
