"""OIDC tokens against a real issuer: what is accepted, and what an attacker tries."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from controller.core.access.binding import Binding
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission, Role
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Proof
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import FLOOR, REFRESH, OpenIdProvider
from controller.identity.static_tokens import StaticTokens
from controller.identity.token_verifier import LEEWAY, MAX_TOKEN, BearerTokens, TokenVerifier
from controller.ports.authenticator import Credentials
from tests.fakes.clock import FakeClock
from tests.support.issuer import AUDIENCE, Issuer, ec_key, issuer_open, rsa_key
from tests.support.waiting import wait_until

BINDINGS = (
    Binding(subject="alice@example.com", role=Role.OPERATOR),
    Binding(group="ml-oncall", role=Role.BREAKER),
    Binding(subject="system:serviceaccount:ml:deployer", role=Role.ADMIN, services=("fraud-*",)),
)


@dataclass
class World:
    """A controller's side of issuers, at the time that it really is."""

    issuer: Issuer
    clock: FakeClock
    door: DoorAuthenticator
    provider: OpenIdProvider

    async def caller(self, token: str) -> Caller:
        return await self.door.authenticate(Credentials("127.0.0.1", authorization=f"Bearer {token}"))

    async def refused(self, token: str) -> str:
        """Why the token is refused; it must be."""
        with pytest.raises(Refusal) as refusal:
            await self.caller(token)
        assert refusal.value.code is Code.UNAUTHENTICATED
        return refusal.value.message


def at_door(*issuers: Issuer, bindings: tuple[Binding, ...] = BINDINGS, **settings: Any) -> World:
    """What a door makes of the tokens of these issuers."""
    clock = FakeClock(skew=time.time() - 1000.0)
    each = [Oidc(issuer=issuer.url, audience=AUDIENCE, **settings) for issuer in issuers]
    providers = [OpenIdProvider(one, clock) for one in each]
    verifiers = [TokenVerifier(one, provider, clock) for one, provider in zip(each, providers, strict=True)]
    door = DoorAuthenticator(bindings, StaticTokens([]), BearerTokens(verifiers))
    return World(issuers[0], clock, door, providers[0])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """One issuer with an EC and an RSA key."""
    async with issuer_open(Issuer(keys=[ec_key("first"), rsa_key("second")])) as issuer:
        yield at_door(issuer)


@pytest.mark.parametrize("key", [0, 1], ids=["ES256", "RS256"])
async def test_a_token_says_who_calls(world: World, key: int) -> None:
    """The verified address is the name; subject and address are bound, and so are groups."""
    caller = await world.caller(world.issuer.token(world.issuer.keys[key], groups=["ml-oncall", 7]))
    assert caller.actor == ("alice@example.com", Proof.OIDC)
    assert caller.principal
    assert caller.principal.subjects == {"u1", "alice@example.com"}
    assert caller.principal.groups == {"ml-oncall"}
    assert caller.may(Permission.OPERATE, "scorer")
    assert caller.may(Permission.FREEZE, "*")
    assert not caller.may(Permission.APPLY, "scorer")


@pytest.mark.parametrize("verified", [False, None, "true"])
async def test_an_address_that_is_not_verified_is_none(world: World, verified: object) -> None:
    """Its holder may have typed anybody's."""
    caller = await world.caller(world.issuer.token(email_verified=verified))
    assert caller.actor.name == "u1"
    assert not caller.may_somewhere(Permission.OPERATE)


async def test_a_pod_is_its_service_account(world: World, tmp_path: Path) -> None:
    """Kubernetes is one more issuer. It shows its keys to whoever has a token of its own."""
    (tmp_path / "token").write_text("the-pod's-own\n")
    async with issuer_open() as cluster:
        door = at_door(cluster, world.issuer, token_file=tmp_path / "token")
        pod = {"sub": "system:serviceaccount:ml:deployer", "aud": [AUDIENCE], "email": None, "email_verified": None}
        caller = await door.caller(cluster.token(**pod))
        assert caller.actor == ("system:serviceaccount:ml:deployer", Proof.OIDC)
        assert caller.may(Permission.APPLY, "fraud-scorer")
        assert not caller.may(Permission.APPLY, "scorer")
        assert cluster.authorizations == ["Bearer the-pod's-own"]
        assert (await door.caller(world.issuer.token())).actor.name == "alice@example.com"


async def test_a_binding_of_one_issuer_is_for_its_tokens_alone(world: World) -> None:
    """Another issuer of the settings may have an alice, too."""
    async with issuer_open() as other:
        bound = Binding(subject="alice@example.com", issuer=world.issuer.url, role=Role.OPERATOR)
        door = at_door(world.issuer, other, bindings=(bound,))
        assert (await door.caller(world.issuer.token())).may_somewhere(Permission.OPERATE)
        assert not (await door.caller(other.token())).may_somewhere(Permission.OPERATE)
    with pytest.raises(ValueError, match="issuer goes with subject or group"):
        Binding(spiffe="spiffe://prod/*", issuer="https://idp.example", role=Role.VIEWER)


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def hmac_with(secret: bytes, kid: str) -> Callable[[Issuer], str]:
    """A token that is signed with a shared secret: the public key, which everybody knows."""

    def token(issuer: Issuer) -> str:
        signed = f"{coded({'alg': 'HS256', 'kid': kid})}.{coded(issuer.claims())}"
        mac = hmac.new(secret or issuer.keys[1].as_pem(private=False), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return token


def tampered(issuer: Issuer) -> str:
    """Another one's claims under a good signature."""
    header, _, signature = issuer.token().split(".")
    return f"{header}.{coded(issuer.claims(groups=['ml-oncall']))}.{signature}"


def own_key_in_header(name: str) -> Callable[[Issuer], str]:
    """Signed with the attacker's key, which the token itself brings or names."""

    def token(issuer: Issuer) -> str:
        mine = ec_key("first")
        key = mine.as_dict(private=False) if name == "jwk" else "https://attacker.example/keys"
        return issuer.token(mine, header={name: key})

    return token


ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda issuer: f"{coded({'alg': 'none', 'kid': 'first'})}.{coded(issuer.claims())}.",
    "alg none, signed": lambda issuer: ".".join([coded({"alg": "none"}), *issuer.token().split(".")[1:]]),
    "HS256 with the public key": hmac_with(b"", "second"),
    "HS256 with nothing": hmac_with(b"\0", "first"),
    "a key of the other kind": lambda issuer: issuer.token(ec_key("second")),
    "the wrong key under a known id": lambda issuer: issuer.token(ec_key("first")),
    "unknown kid": lambda issuer: issuer.token(ec_key("third")),
    "no kid, wrong key": lambda issuer: issuer.token(ec_key("first"), header={"kid": ""}),
    "kid is a path": lambda issuer: issuer.token(ec_key("../../dev/null")),
    "jku": own_key_in_header("jku"),
    "jwk": own_key_in_header("jwk"),
    "x5u": own_key_in_header("x5u"),
    "crit": lambda issuer: ".".join(
        [coded({"alg": "ES256", "kid": "first", "crit": ["x"], "x": 1}), *issuer.token().split(".")[1:]]
    ),
    "other claims": tampered,
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - LEEWAY - 5),
    "no exp": lambda issuer: issuer.token(exp=None),
    "exp as text": lambda issuer: issuer.token(exp="9999999999"),
    "exp is true": lambda issuer: issuer.token(exp=True),
    "exp is no number": lambda issuer: issuer.token(exp=float("nan")),
    "not yet": lambda issuer: issuer.token(nbf=int(time.time()) + LEEWAY + 60),
    "issued in the future": lambda issuer: issuer.token(iat=int(time.time()) + LEEWAY + 60),
    "wrong aud": lambda issuer: issuer.token(aud="another-client"),
    "aud of others": lambda issuer: issuer.token(aud=["a", "b"]),
    "no aud": lambda issuer: issuer.token(aud=None),
    "wrong iss": lambda issuer: issuer.token(iss="https://evil.example"),
    "iss with a slash": lambda issuer: issuer.token(iss=f"{issuer.url}/"),
    "no iss": lambda issuer: issuer.token(iss=None),
    "no sub": lambda issuer: issuer.token(sub=None),
    "sub is a list": lambda issuer: issuer.token(sub=["root"]),
    "sub that rewrites a terminal": lambda issuer: issuer.token(sub="\x1b[2J"),
    "sub without end": lambda issuer: issuer.token(sub="x" * 256),
    "64 kB": lambda issuer: issuer.token(more="x" * 48_000),
    "one part": lambda _: "x" * 100,
    "header is a list": lambda issuer: ".".join([coded(["alg"]), *issuer.token().split(".")[1:]]),
    "nested without end": lambda _: f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.e30.x",
    "five parts": lambda issuer: issuer.token() + ".x.y",
    "not ASCII": lambda issuer: issuer.token() + "\udcff",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attacks_are_refused(world: World, attack: str) -> None:
    """Each as UNAUTHENTICATED, also by a door that has seen good tokens, and a good one is accepted after it."""
    await world.caller(world.issuer.token())
    why = await world.refused(ATTACKS[attack](world.issuer))
    assert "token" in why
    assert len(why) < 300
    await world.caller(world.issuer.token())


async def test_a_huge_token_is_not_even_read(world: World) -> None:
    """Before anything of it is parsed."""
    assert str(MAX_TOKEN) in await world.refused("x" * 65_536)
    assert world.issuer.reads == 0


@pytest.mark.parametrize(("skew", "accepted"), [(-LEEWAY + 10, True), (LEEWAY - 10, True), (-120, False), (120, False)])
async def test_clocks_may_differ_by_a_minute(world: World, skew: float, accepted: bool) -> None:
    """Both ways: a token that is issued in this moment by the issuer's clock, and one that has just ended."""
    now = int(time.time())
    token = world.issuer.token(iat=now, nbf=now, exp=now + 1)
    world.clock.jump(skew)
    if accepted:
        await world.caller(token)
    else:
        await world.refused(token)


async def test_keys_are_rotated(world: World) -> None:
    """A new key counts with its first token; the old one until it is withdrawn, and no longer."""
    old = world.issuer.token()
    await world.caller(old)
    world.clock.advance(FLOOR)
    new = ec_key("new")
    world.issuer.keys.append(new)
    await world.caller(world.issuer.token(new))
    await world.caller(old)
    del world.issuer.keys[0]

    async def withdrawn() -> bool:
        try:
            await world.caller(old)
        except Refusal as refusal:
            return "unknown key" in refusal.message
        return False

    assert not await withdrawn()
    running = asyncio.create_task(world.provider.run())
    world.clock.advance(REFRESH)
    try:
        await wait_until(withdrawn)
    finally:
        running.cancel()


async def test_unknown_keys_do_not_flood_the_issuer(world: World) -> None:
    """A hundred at once cause one read; more cause none until the floor is over."""
    await world.caller(world.issuer.token())
    world.clock.advance(FLOOR)
    forged = world.issuer.token(ec_key("nowhere"))
    await asyncio.gather(*(world.refused(forged) for _ in range(100)))
    await world.refused(forged)
    assert world.issuer.reads == 2
    world.clock.advance(FLOOR)
    await world.refused(forged)
    assert world.issuer.reads == 3


async def test_known_keys_work_while_the_issuer_is_away(world: World) -> None:
    """Also after a read has failed; what is unknown is refused with the reason."""
    token = world.issuer.token()
    await world.caller(token)
    world.issuer.away = True
    world.clock.advance(FLOOR)
    assert "HTTP 503" in await world.refused(world.issuer.token(ec_key("new")))
    await world.caller(token)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://another.example"}, "another issuer"),
        ({"jwks_uri": "http://idp.example/keys"}, "no jwks_uri with https"),
        ({"jwks_uri": None}, "no jwks_uri with https"),
    ],
)
async def test_metadata_that_could_be_another_ones_are_not_used(
    world: World, metadata: dict[str, Any], why: str
) -> None:
    """Neither are the keys that they name."""
    world.issuer.metadata = metadata
    assert why in await world.refused(world.issuer.token())
    assert world.issuer.reads == 0


async def test_weak_and_foreign_keys_are_left_out(world: World) -> None:
    """A short RSA key, a shared secret, one for encryption, and what is no key at all."""
    with pytest.warns(match="2048"):
        short = RSAKey.generate_key(1024, {"kid": "short", "use": "sig", "alg": "RS256"})
    encryption = ec_key("encryption")
    shown = [short.as_dict(private=False), {**encryption.as_dict(private=False), "use": "enc"}]
    world.issuer.more_keys = [*shown, {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, {"kty": "EC", "crv": "P-256"}, 7]
    assert "unknown key" in await world.refused(world.issuer.token(encryption))
    assert "unknown key" in await world.refused(world.issuer.token(short))
    await world.caller(world.issuer.token())


async def test_without_an_id_the_only_key_counts() -> None:
    """An issuer with one key may leave its id out (OpenID Connect Core 1.0, section 10.1)."""
    nameless = ec_key("").as_dict(private=True)
    del nameless["kid"]
    async with issuer_open(Issuer(keys=[ECKey.import_key(nameless)])) as issuer:
        door = at_door(issuer)
        await door.caller(issuer.token())
        issuer.keys.append(ec_key("second"))
        door.clock.advance(FLOOR)
        await door.refused(issuer.token(ec_key("third")))
        assert "unknown key" in await door.refused(issuer.token())
