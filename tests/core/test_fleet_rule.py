"""Which proxies may be of which fleet."""

import pytest
from pydantic import ValidationError

from controller.core.access.fleet_rule import FleetRule, allowed_fleets, check_fleet
from controller.core.access.peer_certificate import peer_principal
from controller.core.access.principal import Principal
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Proof


def proxy(spiffe: str = "", *names: str) -> Principal:
    """A proxy with a certificate."""
    subjects = [*([spiffe] if spiffe else []), *names]
    return Principal(subjects[0], Proof.CERTIFICATE, frozenset(subjects), spiffe=spiffe)


EDGE = proxy("spiffe://prod/ns/ml/fleet/edge")
BY_SPIFFE = FleetRule(spiffe="spiffe://prod/ns/*/fleet/*", fleets=("edge-*", "core"))
BY_NAME = FleetRule(subject="*.edge.example", fleets=("edge",))

ALLOWED = {
    "by the pattern": (EDGE, "edge", ()),
    "by a rule for SPIFFE IDs": (EDGE, "edge-7", (BY_SPIFFE,)),
    "by the second fleet of a rule": (EDGE, "core", (BY_SPIFFE,)),
    "by a rule for names": (proxy("", "p1.edge.example"), "edge", (BY_SPIFFE, BY_NAME)),
    "by the second name": (proxy("", "p1", "p1.edge.example"), "edge", (BY_NAME,)),
}
DENIED = {
    "another fleet": (EDGE, "core", ()),
    "a part of a name is none": (EDGE, "edg", ()),
    "no fleet at all": (EDGE, "", ()),
    "another pattern": (proxy("spiffe://prod/ns/ml/sa/edge"), "edge", ()),
    "a longer path": (proxy("spiffe://prod/ns/ml/fleet/edge/x"), "edge", ()),
    "no SPIFFE ID": (proxy("", "edge"), "edge", ()),
    "a glob in a SPIFFE ID": (proxy("spiffe://prod/ns/ml/fleet/*"), "edge", ()),
    "rules replace the pattern": (EDGE, "edge", (BY_NAME,)),
    "a name of another domain": (proxy("", "p1.edge.example.evil"), "edge", (BY_NAME,)),
    "a rule for SPIFFE IDs and a common name that looks like one": (proxy("", EDGE.spiffe), "core", (BY_SPIFFE,)),
}


@pytest.mark.parametrize(("principal", "fleet", "rules"), ALLOWED.values(), ids=ALLOWED.keys())
def test_a_proxy_of_its_fleet_is_let_in(principal: Principal, fleet: str, rules: tuple[FleetRule, ...]) -> None:
    """By the rules, or without any by its SPIFFE ID."""
    check_fleet(principal, fleet, rules)


@pytest.mark.parametrize(("principal", "fleet", "rules"), DENIED.values(), ids=DENIED.keys())
def test_a_proxy_of_another_fleet_is_refused(principal: Principal, fleet: str, rules: tuple[FleetRule, ...]) -> None:
    """With what it says and what it may say."""
    with pytest.raises(Refusal) as refused:
        check_fleet(principal, fleet, rules)
    assert refused.value.code is Code.DENIED
    assert repr(fleet) in refused.value.message
    assert all(each in refused.value.message for each in (*allowed_fleets(principal, rules), principal.name))


def test_a_rule_is_about_one_kind_of_name() -> None:
    """Both, or neither, would be a rule that nobody meant."""
    for fields in ({}, {"spiffe": "a", "subject": "b"}, {"spiffe": ""}):
        with pytest.raises(ValidationError):
            FleetRule(fleets=("edge",), **fields)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        FleetRule(spiffe="a", fleets=())


def test_nothing_is_proved_without_tls() -> None:
    """Whatever else a connection says of itself."""
    assert peer_principal({}) is None
    assert peer_principal({"transport_security_type": [b"insecure"], "x509_common_name": [b"root"]}) is None
    assert peer_principal({"transport_security_type": [b"ssl"], "x509_common_name": [b""]}) is None
    for unseen in ("edge\u200b", "edge\n", "x" * 300):
        assert peer_principal({"transport_security_type": [b"ssl"], "x509_common_name": [unseen.encode()]}) is None
