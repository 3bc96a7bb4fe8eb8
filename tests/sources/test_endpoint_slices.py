"""Which endpoints EndpointSlices have."""

from typing import Any

import pytest

from controller.core.model.service import Endpoint
from controller.sources.endpoint_slices import (
    EndpointSlice,
    MalformedSlice,
    describe_none,
    endpoints_of,
    read_slice,
)
from tests.fakes.kubernetes_api import Plain, slice_of


def read(plain: Plain) -> EndpointSlice:
    """The slice of that JSON, at some version."""
    return read_slice({**plain, "metadata": {**plain["metadata"], "resourceVersion": "7"}})


def found(*slices: Plain, port: str = "http") -> list[str]:
    """The addresses of the endpoints in these slices."""
    return [str(endpoint) for endpoint in endpoints_of(map(read, slices), port)]


def pod(address: str, **fields: Any) -> Plain:
    """An endpoint."""
    return {"addresses": [address], **fields}


CONDITIONS: dict[str, tuple[Plain, bool]] = {
    "ready": ({"ready": True, "serving": True, "terminating": False}, True),
    "not ready": ({"ready": False, "serving": False, "terminating": False}, False),
    "nothing said": ({}, True),
    "said to be unknown": ({"ready": None}, True),
    "ready and terminating, as with publishNotReadyAddresses": ({"ready": True, "terminating": True}, False),
    "serving while it terminates": ({"ready": False, "serving": True, "terminating": True}, False),
}


@pytest.mark.parametrize(("conditions", "used"), CONDITIONS.values(), ids=CONDITIONS)
def test_what_is_ready_and_not_terminating_gets_requests(conditions: Plain, used: bool) -> None:
    """And nothing else."""
    assert bool(found(slice_of("scorer", endpoints=[pod("10.0.0.1", conditions=conditions)]))) is used


def test_an_address_in_two_slices_is_one_endpoint() -> None:
    """While slices are rewritten it can be in both; it is ready if it is in one of them."""
    old = slice_of("scorer", endpoints=[pod("10.0.0.1", conditions={"ready": False}), pod("10.0.0.2")])
    new = slice_of("scorer", "10.0.0.1", "10.0.0.2", name="scorer-2")
    assert found(old, new) == found(new, old) == ["10.0.0.1:8000", "10.0.0.2:8000"]


def test_a_pod_with_two_addresses_is_one_endpoint() -> None:
    """By IPv4 if it has that; a pod of IPv6 alone by that. Two shares of the requests would be one too many."""
    one, two = ({"kind": "Pod", "name": name, "uid": name} for name in ("a", "b"))
    v4 = slice_of("scorer", endpoints=[pod("10.0.0.1", targetRef=one)])
    v6 = slice_of(
        "scorer", name="v6", family="IPv6", endpoints=[pod("FD00::1", targetRef=one), pod("fd00::2", targetRef=two)]
    )
    assert found(v6, v4) == ["10.0.0.1:8000", "[fd00::2]:8000"]
    assert found(v6) == ["[fd00::1]:8000", "[fd00::2]:8000"]


def test_a_port_has_a_name_or_a_number_and_each_slice_its_own() -> None:
    """Pods whose named port differs are in slices of their own."""
    one, two = slice_of("scorer", "10.0.0.1", port=8000), slice_of("scorer", "10.0.0.2", name="b", port=9000)
    two["ports"].append({"name": "grpc", "port": 9001})
    assert found(one, two) == ["10.0.0.1:8000", "10.0.0.2:9000"]
    assert found(one, two, port="grpc") == ["10.0.0.2:9001"]
    assert found(one, two, port="9000") == ["10.0.0.2:9000"]
    assert found(one, two, port="metrics") == []


def test_what_has_no_address_or_no_tcp_is_no_endpoint() -> None:
    """Names, ports without a number, UDP, ports and endpoints that are null."""
    udp, nothing = slice_of("scorer", "10.0.0.1"), slice_of("scorer", "10.0.0.1")
    udp["ports"][0]["protocol"] = "UDP"
    nothing["ports"] = None
    unnumbered = slice_of("scorer", "10.0.0.1")
    del unnumbered["ports"][0]["port"]
    named = slice_of("scorer", "model.internal", family="FQDN")
    empty = {**slice_of("scorer"), "endpoints": None}
    for each in (udp, nothing, unnumbered, named, empty):
        assert found(each) == []


def test_zones_are_kept_if_envoy_can_know_them() -> None:
    """Others are no zone."""
    plain = slice_of("scorer", endpoints=[pod("10.0.0.1", zone="eu-1a"), pod("10.0.0.2", zone="a b"), pod("10.0.0.3")])
    assert endpoints_of([read(plain)], "http") == tuple(
        Endpoint(host=f"10.0.0.{n}", port=8000, zone=zone) for n, zone in ((1, "eu-1a"), (2, ""), (3, ""))
    )


def test_why_there_is_none() -> None:
    """No slice, no such port, no pod that is ready."""
    some = [read(slice_of("scorer", endpoints=[pod("10.0.0.1", conditions={"ready": False})]))]
    assert describe_none([], "scorer", "http") == "there is no EndpointSlice of a Service scorer"
    assert describe_none(some, "scorer", "grpc") == "there is no port grpc in its EndpointSlices, which have 8000, http"
    assert describe_none(some, "scorer", "http") == "no pod is ready"


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {"metadata": {}},
        {**slice_of("scorer"), "endpoints": [{}]},
        {**slice_of("scorer"), "endpoints": [{"addresses": []}]},
        slice_of("scorer", "no address"),
        {**slice_of("scorer"), "endpoints": "many"},
        {**slice_of("scorer"), "ports": ["http"]},
    ],
)
def test_what_is_no_slice_is_said(plain: Any) -> None:
    """Nothing of it is used."""
    if isinstance(plain, dict) and "addressType" in plain:
        plain = {**plain, "metadata": {**plain["metadata"], "resourceVersion": "7"}}
    with pytest.raises(MalformedSlice, match="EndpointSlice cannot be read"):
        read_slice(plain)
