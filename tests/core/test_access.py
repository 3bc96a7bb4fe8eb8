"""Who may do what: roles, the services that they cover, whom bindings name, and whose freezes may be lifted."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from controller.core.access.binding import Binding
from controller.core.access.caller import Caller, caller_of
from controller.core.access.permission import Permission, Role
from controller.core.access.principal import Principal
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Actor, Proof
from controller.core.model.freeze import ALL, Mode
from tests.builders import freeze

PAGE = Path(__file__).parents[2] / "docs" / "access.md"
ALICE = Principal(
    "alice@example.com",
    Proof.OIDC,
    frozenset({"alice@example.com", "00u1"}),
    groups=frozenset({"ml-platform", "everybody"}),
)
ROBOT = Principal("spiffe://prod/ns/ci/deploy", Proof.CERTIFICATE, spiffe="spiffe://prod/ns/ci/deploy")
PAGER = Principal("pager", Proof.TOKEN, frozenset({"pager"}), token_file="/etc/pager")


def documented() -> dict[tuple[str, str], bool]:
    """(role, permission) -> whether docs/access.md says yes."""
    header = re.search(r"^\| permission \|(.*)\| allows \|$", PAGE.read_text(), re.M)
    assert header
    roles = re.findall(r"`(\w+)`", header[1])
    table = {}
    for permission in (each for each in Permission if each is not Permission.PUBLIC):
        row = re.search(rf"^\| `{permission}` \|(.*)$", PAGE.read_text(), re.M)
        assert row, f"docs/access.md has no row for {permission}"
        cells = row[1].split("|")
        table.update({(role, str(permission)): cell.strip() == "yes" for role, cell in zip(roles, cells, strict=False)})
    return table


def bound(role: Role, *services: str, principal: Principal = ALICE) -> Caller:
    """A caller with one role on these services."""
    return caller_of(principal, [Binding(subject=principal.name, role=role, services=services or (ALL,))])


def denial(caller: Caller, permission: Permission, *scopes: str) -> Refusal:
    """How the caller is refused."""
    with pytest.raises(Refusal) as raised:
        caller.require(permission, scopes)
    return raised.value


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_each_role_may_do_what_the_page_says_and_nothing_else(role: Role, permission: Permission) -> None:
    """Cell by cell; what is public everybody may do."""
    may = documented().get((role, permission), permission is Permission.PUBLIC)
    caller = bound(role)
    assert caller.may(permission, "fraud") is may
    assert caller.may(permission, ALL) is may
    assert caller.may_somewhere(permission) is may


GLOBS = {
    "the name": ("fraud", "fraud", True),
    "a part of it": ("fraud", "fraud-1", False),
    "a star": ("fraud-*", "fraud-1", True),
    "a star needs its beginning": ("fraud-*", "search", False),
    "another case": ("fraud-*", "Fraud-1", False),
    "a question mark": ("fraud-?", "fraud-12", False),
    "a set": ("fraud-[12]", "fraud-2", True),
    "all": (ALL, "fraud", True),
    "all services, by all": (ALL, ALL, True),
    "all services, by a glob": ("fraud-*", ALL, False),
    "all services, by a glob that matches a star": ("?", ALL, False),
    "all services, by two stars": ("**", ALL, False),
}


@pytest.mark.parametrize(("pattern", "scope", "may"), GLOBS.values(), ids=GLOBS.keys())
def test_services_are_globs_and_only_a_star_is_all(pattern: str, scope: str, may: bool) -> None:
    """A role on some services, however many, is none on what concerns all of them."""
    assert bound(Role.ADMIN, pattern).may(Permission.FREEZE, scope) is may


def test_roles_add_up_and_each_keeps_its_services() -> None:
    """The rights of one binding do not spread to the services of another."""
    caller = caller_of(
        ALICE,
        [
            Binding(subject="00u1", role=Role.OPERATOR, services=("fraud-*",)),
            Binding(group="everybody", role=Role.VIEWER),
            Binding(subject="bob", role=Role.ADMIN),
        ],
    )
    assert [each.role for each in caller.bindings or ()] == [Role.OPERATOR, Role.VIEWER]
    assert caller.may(Permission.VIEW, "search")
    assert caller.may(Permission.OPERATE, "fraud-1")
    assert not caller.may(Permission.OPERATE, "search")
    caller.require(Permission.OPERATE, ["fraud-1", "fraud-2"])
    refusal = denial(caller, Permission.OPERATE, "fraud-1", "search")
    assert refusal.code is Code.DENIED
    assert refusal.message == "alice@example.com has no role that allows `operate` on search"


NAMES = {
    "subject": (Binding(subject="00u1", role=Role.VIEWER), ALICE),
    "group": (Binding(group="ml-platform", role=Role.VIEWER), ALICE),
    "spiffe": (Binding(spiffe="spiffe://prod/ns/ci/*", role=Role.VIEWER), ROBOT),
    "token_file": (Binding(token_file="/etc/pager", role=Role.VIEWER), PAGER),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_binding_names_its_own_kind_of_principal(kind: str) -> None:
    """And nobody else."""
    binding, whose = NAMES[kind]
    assert [binding.names(each) for each in (ALICE, ROBOT, PAGER)] == [each is whose for each in (ALICE, ROBOT, PAGER)]


def test_a_group_is_no_subject_and_a_subject_no_group() -> None:
    """Whoever may choose a name must not come by the rights of a group that is called so."""
    assert not Binding(group="00u1", role=Role.VIEWER).names(ALICE)
    assert not Binding(subject="ml-platform", role=Role.VIEWER).names(ALICE)
    assert not Binding(spiffe="*", role=Role.VIEWER).names(ALICE)


@pytest.mark.parametrize(
    "fields", [{}, {"subject": "a", "group": "b"}, {"subject": ""}, {"group": "a", "services": ()}]
)
def test_a_binding_names_exactly_one_and_covers_something(fields: dict[str, object]) -> None:
    """An empty name would name everybody or nobody."""
    with pytest.raises(ValidationError):
        Binding(role=Role.VIEWER, **fields)


def test_who_is_not_known_is_told_what_is_missing() -> None:
    """A name that was claimed is no identity."""
    anonymous = Caller(Actor("alice@127.0.0.1"), ())
    assert denial(anonymous, Permission.VIEW).code is Code.UNAUTHENTICATED
    assert denial(caller_of(PAGER, ()), Permission.VIEW).code is Code.DENIED
    anonymous.require(Permission.PUBLIC, ())
    Caller(Actor("alice@127.0.0.1")).require(Permission.ADMINISTER, [ALL])


LIFTS = {
    "a breaker, its own freeze": (Role.BREAKER, "pager", Mode.FREEZE, True),
    "a breaker, somebody else's": (Role.BREAKER, "alice", Mode.FREEZE, False),
    "an operator, its own hold": (Role.OPERATOR, "pager", Mode.HOLD, True),
    "an operator, its own freeze of another day": (Role.OPERATOR, "pager", Mode.FREEZE, False),
    "an operator, somebody else's hold": (Role.OPERATOR, "alice", Mode.HOLD, False),
    "a viewer, its own hold of another day": (Role.VIEWER, "pager", Mode.HOLD, False),
    "an admin, somebody else's freeze": (Role.ADMIN, "alice", Mode.FREEZE, True),
}


@pytest.mark.parametrize(("role", "who", "mode", "may"), LIFTS.values(), ids=LIFTS.keys())
def test_ones_own_freezes_may_be_lifted_and_an_admin_lifts_all(role: Role, who: str, mode: Mode, may: bool) -> None:
    """Within the services of the role."""
    held = freeze("fraud-1", who=who, proof=PAGER.proof, mode=mode)
    assert bound(role, "fraud-*", principal=PAGER).may_lift(held) is may
    assert not bound(role, "search", principal=PAGER).may_lift(held)
    assert not bound(role, "fraud-*", principal=PAGER).may_lift(freeze(ALL, who=who, proof=PAGER.proof, mode=mode))


@pytest.mark.parametrize("proof", [each for each in Proof if each is not PAGER.proof])
def test_a_freeze_of_another_one_of_that_name_is_not_ones_own(proof: Proof) -> None:
    """Verified in another way, or not at all, as freezes were stored once: that takes `lift`."""
    held = freeze("fraud-1", who=PAGER.name, proof=proof)
    assert not bound(Role.BREAKER, principal=PAGER).may_lift(held)
    assert bound(Role.ADMIN, principal=PAGER).may_lift(held)


def test_what_is_seen_is_what_concerns_ones_services() -> None:
    """A line that names several services is seen by whoever sees one of them."""
    caller = bound(Role.VIEWER, "fraud-*")
    seen = [caller.visible(scopes) for scopes in (["fraud-1"], ["search"], ["search", "fraud-1"], [ALL], [])]
    assert seen == [True, False, True, True, True]
