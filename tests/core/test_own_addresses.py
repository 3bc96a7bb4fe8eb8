"""No service listens where the controller does: at apply it is refused, and afterwards said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.base.errors import Code, Refusal
from controller.core.model.service import Listen
from controller.core.routing.own_addresses import occupied, own_addresses
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from controller.xds.resources.snapshot_cache import SnapshotCache
from tests.builders import service_file
from tests.fakes.clock import FakeClock
from tests.xds.views import service, view

OWN = own_addresses(
    {
        "xds_listen": "127.0.0.1:18000",
        "admin_listen": "localhost:18001",
        "http_listen": "[::1]:18002",
        "other": "unix:/a",
    }
)


@pytest.mark.parametrize(
    ("address", "port", "setting"),
    [
        ("127.0.0.1", 18000, "xds_listen"),
        ("0.0.0.0", 18000, "xds_listen"),
        ("::", 18000, "xds_listen"),
        ("127.0.0.1", 18001, "admin_listen"),
        ("::1", 18001, "admin_listen"),
        ("::1", 18002, "http_listen"),
        ("0.0.0.0", 18002, "http_listen"),
    ],
)
def test_the_same_address_and_every_address_are_the_controller_s(address: str, port: int, setting: str) -> None:
    """However the setting spells it; the setting is named."""
    assert f"{setting} has its port {port}" in occupied(Listen(address=address, port=port), OWN)


def test_where_the_controller_has_every_address_none_is_left() -> None:
    """Of that port."""
    own = own_addresses({"http_listen": "0.0.0.0:18002"})
    assert occupied(Listen(address="10.0.0.1", port=18002), own)
    assert not occupied(Listen(address="10.0.0.1", port=18003), own)


@given(st.integers(1, 65535), st.sampled_from(["127.0.0.1", "127.0.0.2", "0.0.0.0", "10.0.0.1", "::1", "::"]))
def test_everything_else_is_free(port: int, address: str) -> None:
    """Other ports, and other addresses with the same port; a service without a listener has none."""
    taken = port in (18000, 18001, 18002) and address in ("0.0.0.0", "::")
    taken |= (address, port) in (("127.0.0.1", 18000), ("127.0.0.1", 18001), ("::1", 18001), ("::1", 18002))
    assert bool(occupied(Listen(address=address, port=port), OWN)) == taken
    assert not occupied(None, OWN)


async def test_a_file_that_takes_the_controller_s_port_is_refused_with_the_field() -> None:
    """One file and many; nothing is stored."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    operations = Operations(store, clock, Allowed(own=OWN))
    text = service_file("scorer", 18001)
    with pytest.raises(Refusal) as refusal:
        await operations.apply(text, who="a", reason="")
    assert refusal.value.code is Code.INVALID
    assert [violation.field for violation in refusal.value.violations] == ["listen.port"]
    assert "admin_listen" in refusal.value.message
    with pytest.raises(Refusal) as refusal:
        await operations.apply_all([service_file("other", 10000), text], who="a", reason="")
    assert [violation.field for violation in refusal.value.violations] == ["files[1].listen.port"]
    assert not (await store.load()).services


def test_a_service_whose_port_became_the_controller_s_is_served_and_named() -> None:
    """The settings changed after it was applied. Where its proxies run elsewhere, it works: it is not taken away."""
    cache = SnapshotCache(own_addresses({"xds_listen": "127.0.0.1:10000"}))
    assert cache.update(view(1, service()))
    (problem,) = cache.problems.values()
    assert "127.0.0.1:10000 is the controller's own: xds_listen" in problem
    served = cache.snapshot("")
    assert served is not None
    assert any(catalogue.listed for catalogue in served.catalogues.values())
