"""Credentials -> a caller: which of them counts, and what is never enough."""

import hashlib
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controller.core.access.binding import Binding
from controller.core.access.permission import Permission, Role
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Actor, Proof
from controller.core.model.freeze import ALL
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.static_tokens import StaticTokens
from controller.ports.authenticator import Credentials
from tests.support.authority import Authority

TOKEN = "a-token-that-nobody-guesses"
CERTIFICATE = x509.load_pem_x509_certificate(Authority().issue("alice").certificate).public_bytes(Encoding.DER)


@pytest.fixture
def tokens(tmp_path: Path) -> StaticTokens:
    """One token, of `pager`."""
    path = tmp_path / "tokens"
    path.write_text(f"pager {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    return StaticTokens([str(path)])


@pytest.fixture
def bound(tokens: StaticTokens) -> DoorAuthenticator:
    """A door where `alice` is a viewer and `pager` a breaker."""
    return DoorAuthenticator(
        [Binding(subject="alice", role=Role.VIEWER), Binding(subject="pager", role=Role.BREAKER)], tokens
    )


CALLERS = {
    "a token before a certificate and a socket": (
        Credentials("10.0.0.1", "root", f"Bearer {TOKEN}", "", CERTIFICATE, 0),
        Actor("pager", Proof.TOKEN),
    ),
    "a scheme in another case": (
        Credentials("10.0.0.1", authorization=f"BEARER  {TOKEN}"),
        Actor("pager", Proof.TOKEN),
    ),
    "a certificate before a socket": (
        Credentials("unix", "root", "", "", CERTIFICATE, 0),
        Actor("alice", Proof.CERTIFICATE),
    ),
    "a socket": (Credentials("unix", "alice", user_id=54321), Actor("unix:54321", Proof.SOCKET)),
    "a claimed name": (Credentials("127.0.0.1", "alice"), Actor("alice@127.0.0.1")),
    "nothing": (Credentials("127.0.0.1"), Actor("anonymous@127.0.0.1")),
}


@pytest.mark.parametrize(("credentials", "actor"), CALLERS.values(), ids=CALLERS.keys())
async def test_the_most_specific_credential_counts(
    bound: DoorAuthenticator, tokens: StaticTokens, credentials: Credentials, actor: Actor
) -> None:
    """With bindings and without; what a client claims never replaces what is proved."""
    assert (await bound.authenticate(credentials)).actor == actor
    assert (await DoorAuthenticator([], tokens).authenticate(credentials)).actor == actor


REFUSED = {
    "another token": f"Bearer {TOKEN}x",
    "another scheme": "Basic YWxpY2U6aHVudGVyMg==",
    "no token": "Bearer ",
    "a scheme alone": "Bearer",
    "a very long one": "Bearer " + "x" * 1_000_000,
    "not ASCII": "Bearer \xff\u2028" + "x" * 30,
    "half of a surrogate": "Bearer \udcff" + "x" * 30,
}


@pytest.mark.parametrize("authorization", REFUSED.values(), ids=REFUSED.keys())
async def test_a_token_that_is_not_valid_is_refused(bound: DoorAuthenticator, authorization: str) -> None:
    """Also beside a valid certificate and a socket of root: it never counts as none."""
    with pytest.raises(Refusal) as raised:
        await bound.authenticate(Credentials("unix", "", authorization, "", CERTIFICATE, 0))
    assert raised.value.code is Code.UNAUTHENTICATED
    assert "xxx" not in raised.value.message


async def test_a_certificate_that_cannot_be_read_is_refused(bound: DoorAuthenticator) -> None:
    """It does not count as none either."""
    with pytest.raises(Refusal, match="names nobody"):
        await bound.authenticate(Credentials("10.0.0.1", certificate=b"\x30\x00"))


async def test_with_bindings_a_claimed_name_has_no_rights(bound: DoorAuthenticator) -> None:
    """Not even that of somebody who has some."""
    caller = await bound.authenticate(Credentials("127.0.0.1", "alice"))
    assert not caller.may_somewhere(Permission.VIEW)


async def test_the_user_of_the_controller_and_root_are_admin_by_socket_alone(bound: DoorAuthenticator) -> None:
    """Others on the socket have what is bound to them; a certificate or a token in that name is no socket."""
    for user in (0, os.geteuid()):
        assert (await bound.authenticate(Credentials("unix", user_id=user))).may(Permission.ADMINISTER, ALL)
    assert not (await bound.authenticate(Credentials("unix", user_id=54321))).may_somewhere(Permission.VIEW)
    known = await bound.authenticate(Credentials("unix", authorization=f"Bearer {TOKEN}", user_id=0))
    assert not known.may_somewhere(Permission.OPERATE)


async def test_a_user_of_a_socket_can_be_bound(tokens: StaticTokens) -> None:
    """By name or number, as a group that may connect has several."""
    door = DoorAuthenticator([Binding(subject="unix:54321", role=Role.OPERATOR)], tokens)
    assert (await door.authenticate(Credentials("unix", user_id=54321))).may(Permission.OPERATE, ALL)


async def test_without_bindings_everybody_may_do_everything(tokens: StaticTokens) -> None:
    """And the ledger knows whether the name was verified."""
    caller = await DoorAuthenticator([], tokens).authenticate(Credentials("127.0.0.1", "alice"))
    assert caller.may(Permission.ADMINISTER, ALL)
    assert caller.actor.proof is Proof.CLAIMED
