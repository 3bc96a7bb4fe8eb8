"""The loggers that count how responses end: who gets them, and what happens where they are refused."""

import pytest
from google.protobuf.any_pb2 import Any

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.wire.v1.resources_pb2 import AccessLog, StatsLogger
from controller.ports.fleet import ConfigState
from controller.xds.protocol.nack_reasons import is_about_loggers
from controller.xds.resources import listener_messages
from controller.xds.resources.access_logs import STATS_LOGGER, TIME_TO_FIRST_BYTE, first_token_logger, stats_loggers
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import LDS, PUSH_ORDER, TYPE_URL_PREFIX
from tests.xds.envoy_under_load import ServerFactory, envoy_under_load
from tests.xds.views import service, view


def unknown_logger() -> list[AccessLog]:
    """What a future or an older Envoy might not know."""
    config = Any(type_url=f"{TYPE_URL_PREFIX}envoy.extensions.access_loggers.none.v3.Config", value=b"")
    return [AccessLog(name="envoy.access_loggers.none", typed_config=config)]


def refused_field() -> list[AccessLog]:
    """A response flag that an Envoy does not know."""
    logger = stats_loggers()[0]
    logger.filter.and_filter.filters[0].response_flag_filter.flags.append("XYZ")
    return [logger]


def unknown_time() -> list[AccessLog]:
    """A format of which an Envoy knows nothing."""
    logger = first_token_logger()
    config = StatsLogger.FromString(logger.typed_config.value)
    config.histograms[0].value_format = "%SOME_DURATION(A:B:ms)%"
    logger.typed_config.value = config.SerializeToString()
    return [logger]


@pytest.fixture(
    params=[unknown_logger, refused_field, unknown_time], ids=["unknown logger", "unknown flag", "unknown time"]
)
def refused_loggers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers that Envoy NACKs."""
    monkeypatch.setattr(listener_messages, "stats_loggers", request.param)


@pytest.mark.envoy
@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_an_envoy_that_refuses_the_loggers_gets_its_listener_without_them(
    processes: Children, model_server: ServerFactory, protocol: str, refused_loggers: None
) -> None:
    """It serves, and it is said that it is blind, with its own words; changes reach it as before."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, _):
        (proxy,) = playing.xds.proxies()
        assert (proxy.state, proxy.is_blind) == (ConfigState.SYNCED, True)
        assert proxy.last_nack
        assert proxy.last_nack.type_url == LDS
        assert is_about_loggers(proxy.last_nack.error)
        await playing.publish_and_sync(playing.fraud(canary=500))
        assert playing.xds.sync("fraud", playing.revision).blind == (proxy.node,)


@pytest.mark.envoy
@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_an_envoy_that_has_the_loggers_is_not_blind(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """The Envoy of today accepts them."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, _):
        (proxy,) = playing.xds.proxies()
        assert (proxy.is_blind, proxy.last_nack) == (False, None)
        assert playing.xds.sync("fraud", playing.revision).blind == ()


def test_the_snapshots_of_both_kinds_differ_in_their_listeners_alone() -> None:
    """And what does not change stays the same object."""
    cache = SnapshotCache()
    cache.update(view(1, service()))
    plain, counting = cache.snapshot("edge"), cache.snapshot("edge", counting=True)
    assert plain
    assert counting
    different = [url for url in PUSH_ORDER if plain.catalogue(url) is not counting.catalogue(url)]
    assert different == [LDS]
    ((name, listener),) = counting.catalogue(LDS).listed.items()
    assert STATS_LOGGER.encode() in listener.packed
    assert STATS_LOGGER.encode() not in plain.catalogue(LDS).listed[name].packed
    cache.update(view(2, service(canary=("v2", 500))))
    after = cache.snapshot("edge", counting=True)
    assert after
    assert after.catalogue(LDS) is counting.catalogue(LDS)


def test_first_tokens_are_timed_where_a_service_streams() -> None:
    """On its listener; no other listener changes, and none for a proxy that has no such logger."""
    cache = SnapshotCache()
    cache.update(view(1, service(), service("chat", port=10001, streaming=True)))
    counting, plain = cache.snapshot("edge", counting=True), cache.snapshot("edge")
    assert counting
    assert plain
    timed = {
        name.rpartition(":")[2]: TIME_TO_FIRST_BYTE.encode() in listener.packed
        for name, listener in counting.catalogue(LDS).listed.items()
    }
    assert timed == {"10000": False, "10001": True}
    assert not any(TIME_TO_FIRST_BYTE.encode() in listener.packed for listener in plain.catalogue(LDS).listed.values())
