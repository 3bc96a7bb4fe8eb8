"""`haldane login`: a token of a real issuer, for this user alone, brought by every command and renewed by itself."""

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.admin.doorkeeper import Doorkeeper
from controller.admin.grpc_api import PERMISSIONS
from controller.admin.guard import Guard
from controller.cli import saved_login
from controller.cli.failure import Exit, Failure
from controller.cli.saved_login import SavedLogin, read_login, write_login
from controller.core.access.binding import Binding
from controller.core.access.permission import Role
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import OpenIdProvider
from controller.identity.static_tokens import StaticTokens
from controller.identity.token_verifier import BearerTokens, TokenVerifier
from controller.ports.login_config import LoginConfig
from controller.process.clock import SystemClock
from tests.cli.admin_server import AdminServer
from tests.support.command import Done
from tests.support.doorkeepers import CountedDenials
from tests.support.issuer import AUDIENCE, Issuer, issuer_open

ALICE = "alice@example.com"
BINDINGS = (Binding(subject=ALICE, role=Role.OPERATOR),)


@dataclass
class World:
    """A controller that knows alice by an issuer, and the command line of hers."""

    server: AdminServer
    issuer: Issuer
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str) -> Done:
        """A command of hers."""
        self.capsys.readouterr()
        code = main(["--admin", self.server.address, *args])
        said = self.capsys.readouterr()
        return Done(int(code), said.out, said.err)

    @property
    def saved(self) -> SavedLogin:
        """What is kept."""
        saved = read_login(self.server.address)
        assert saved
        return saved

    @property
    def file(self) -> Path:
        """Where it is kept."""
        (file,) = (Path(os.environ["XDG_STATE_HOME"]) / "haldane" / "logins").glob("*.json")
        return file

    def change(self, **values: object) -> None:
        """Change what is kept."""
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **values}))

    def expire(self) -> None:
        """Let the token that is kept expire, by this machine's clock."""
        self.change(expires_at=time.time() - 1)


@pytest.fixture
def world(
    server: AdminServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[World]:
    """Nobody but alice may do anything."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stack, clock = contextlib.AsyncExitStack(), SystemClock()
    issuer = server.do(stack.enter_async_context(issuer_open()))
    settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id="console", device_client_id="cli")
    verifier = TokenVerifier(settings, OpenIdProvider(settings, clock), clock)
    door = DoorAuthenticator(BINDINGS, StaticTokens([]), BearerTokens([verifier]))
    server.guard = Guard(Doorkeeper("admin", door, CountedDenials()), PERMISSIONS)
    server.login = LoginConfig(issuer.url, settings.device_client, AUDIENCE, settings.scopes)
    server.stop()
    server.start()
    yield World(server, issuer, capsys)
    server.do(stack.aclose())


def test_every_command_brings_the_token(world: World) -> None:
    """It says where to go and which code to enter; afterwards the controller knows alice, until she logs out."""
    assert "haldane login" in world.run("list").err
    world.issuer.device_answers = ["authorization_pending"]
    done = world.run("login")
    assert done.code == 0, done
    assert f"open {world.issuer.url}/activate in a browser, and enter the code WDJB-MJHT" in done.err
    assert f"{ALICE} (verified by oidc) at {world.server.address}, logged in at {world.issuer.url}" in done.out
    assert world.issuer.begun[0]["client_id"] == "cli"
    assert world.run("list").code == 0
    me = world.run("whoami")
    assert f"{ALICE} (verified by oidc)" in me.out
    assert f"logged in at {world.issuer.url}; the token is valid until" in me.out
    document = world.run("whoami", "-o", "json").document
    assert document["login"] == {
        "admin": world.server.address,
        "issuer": world.issuer.url,
        "expires_at": world.saved.expires_at,
        "renewable": True,
    }
    refresh_token = world.saved.refresh_token
    assert world.run("logout").out == f"logged out at {world.server.address}\n"
    assert world.issuer.revoked == [refresh_token]
    denied = world.run("list")
    assert (denied.code, "a token is needed" in denied.err) == (1, True)
    assert world.run("logout").out == f"you were not logged in at {world.server.address}\n"


def test_json_is_one_document(world: World) -> None:
    """The address and the code are on standard error."""
    done = world.run("login", "-o", "json")
    assert done.document["who"] == ALICE
    assert done.document["verified_by"] == "oidc"
    assert "WDJB-MJHT" in done.err
    assert world.run("logout", "-o", "json").document["logged_out"] is True


def test_the_token_is_for_its_user_alone(world: World) -> None:
    """Mode 0600 in a folder of 0700, whatever the umask; a file that others can read is not used."""
    before = os.umask(0)
    try:
        world.run("login")
    finally:
        os.umask(before)
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.file.parent.stat().st_mode) == 0o700
    assert {each.suffix for each in world.file.parent.iterdir()} <= {".json", ".lock"}
    world.file.chmod(0o640)
    done = world.run("list")
    assert (done.code, "is not yours alone" in done.err) == (1, True)
    assert world.run("login").code == 0
    assert world.run("list").code == 0


def test_an_expired_token_is_renewed(world: World) -> None:
    """By the next command, with a refresh token that is good for once; the new ones are kept."""
    world.run("login")
    first = world.saved
    world.expire()
    assert world.run("list").code == 0
    assert world.issuer.refreshes == 1
    assert world.saved.token != first.token
    assert world.saved.expires_at > time.time()
    assert world.run("list").code == 0
    assert world.issuer.refreshes == 1


def test_a_token_that_the_controller_rejects_is_renewed(world: World) -> None:
    """This machine's clock says that it is valid, and the controller's that it is not."""
    world.run("login")
    hour_ago = int(time.time()) - 3600
    world.change(token=world.issuer.token(iat=hour_ago, nbf=hour_ago, exp=hour_ago + 300))
    assert world.run("list").code == 0
    world.change(token=world.issuer.token(iat=hour_ago, nbf=hour_ago, exp=hour_ago + 300))
    assert world.run("events").code == 0
    assert world.issuer.refreshes == 2
    world.change(token=world.issuer.token(exp=hour_ago), refresh_token="")
    done = world.run("list")
    assert (done.code, "the token has expired" in done.err, "haldane login" in done.err) == (1, True, True)


def test_a_clock_that_is_wrong_by_hours_does_not_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a token is valid is counted from when it came."""
    right = time.time
    monkeypatch.setattr("controller.cli.issuer.time.time", lambda: right() + 7200)
    world.run("login")
    assert world.run("list").code == 0
    assert world.issuer.refreshes == 0


def test_two_commands_at_once_renew_it_once(world: World) -> None:
    """Whoever waited for the other one finds the new token."""
    world.run("login")
    world.expire()
    stale = world.saved
    assert world.run("list").code == 0
    from controller.cli.login_token import LoginToken

    assert LoginToken(stale).current() == world.saved.token
    assert world.issuer.refreshes == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("access_denied", "the request was denied at the issuer's page"),
        ("expired_token", "nobody agreed in time"),
        ("invalid_client", "needs no secret"),
        ("unauthorized_client", "does not allow this client device logins"),
        ("other_error", "other_error: it is other_error"),
    ],
)
def test_a_login_that_ends_says_why(world: World, code: str, said: str) -> None:
    """And nothing is kept; the login before stays."""
    world.issuer.device_answers = ["authorization_pending", code]
    done = world.run("login", "-o", "json")
    assert (done.code, done.document["error"]["code"]) == (1, code.upper())
    assert said in done.err
    assert read_login(world.server.address) is None
    assert world.run("login").code == 0
    world.issuer.device_answers = [code]
    assert world.run("login").code == 1
    assert world.run("list").code == 0


def test_an_issuer_that_does_not_answer_is_named(world: World) -> None:
    """At the login, and when a token has expired; one that is still valid goes on."""
    world.issuer.away = True
    done = world.run("login")
    assert (done.code, f"{world.issuer.url} does not answer" in done.err) == (1, True), done
    world.issuer.away = False
    world.run("login")
    world.issuer.away = True
    world.change(expires_at=time.time() + 5)
    assert world.run("list").code == 0
    world.expire()
    expired = world.run("list")
    assert (expired.code, "does not renew it" in expired.err, "--certificate" in expired.err) == (1, True, True)
    kept = world.run("logout")
    assert (kept.code, "is not ended at" in kept.err) == (0, True)
    assert read_login(world.server.address) is None


def test_a_login_that_the_issuer_has_ended(world: World) -> None:
    """No command goes on as somebody else."""
    world.run("login")
    world.issuer.refresh_tokens.clear()
    world.expire()
    done = world.run("list")
    assert (done.code, "has ended: invalid_grant" in done.err, "haldane login" in done.err) == (1, True, True)
    world.change(refresh_token="")
    done = world.run("list")
    assert (done.code, "has expired" in done.err) == (1, True)


def test_a_token_for_somebody_else_is_not_kept(world: World) -> None:
    """It names whom the issuer's tokens are for; an ID token will do if it is for the controller."""
    world.issuer.device_tokens = {"access_token": world.issuer.token(aud="others")}
    done = world.run("login")
    assert (done.code, "are for others, cli, and the controller wants 'haldane'" in done.err) == (1, True), done
    world.issuer.device_tokens = {"access_token": "opaque", "id_token": world.issuer.token()}
    assert world.run("login").code == 0
    assert world.run("list").code == 0


def test_a_token_that_the_controller_does_not_accept_is_not_kept(world: World) -> None:
    """Such as one that is valid only later."""
    later = int(time.time()) + 3600
    world.issuer.device_tokens = {"access_token": world.issuer.token(nbf=later), "refresh_token": None}
    done = world.run("login")
    assert (done.code, "the token is not valid" in done.err) == (1, True), done
    assert read_login(world.server.address) is None


def test_a_controller_without_an_issuer(world: World) -> None:
    """Says that nobody can log in there."""
    world.server.login = LoginConfig()
    world.server.stop()
    world.server.start()
    done = world.run("login", "-o", "json")
    assert (done.code, done.document["error"]["code"]) == (Exit.NOT_POSSIBLE, "NO_ISSUER")


def test_what_is_named_goes_before_what_is_kept(world: World, tmp_path: Path) -> None:
    """A token file on the command line is used in place of the login, and none is sent where others could read it."""
    world.run("login")
    (tmp_path / "token").write_text("of-nobody")
    done = world.run("list", "--token-file", str(tmp_path / "token"))
    assert (done.code, "the token is not valid" in done.err) == (1, True)
    write_login(SavedLogin("ctl.example:1", world.issuer.url, "cli", AUDIENCE, "x", time.time() + 100))
    for command in (["list"], ["login"]):
        assert main(["--admin", "ctl.example:1", *command]) == Exit.USAGE


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"admin": 7}'])
def test_a_file_that_is_no_login_is_named(world: World, text: str) -> None:
    """With what to do; to log in again replaces it, and to log out removes it."""
    world.run("login")
    world.file.write_text(text)
    done = world.run("list")
    assert (done.code, "is no login" in done.err, "haldane logout" in done.err) == (1, True, True), done
    assert world.run("logout").code == 0
    assert world.run("login").code == 0


def test_logins_that_cannot_be_kept_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the login before, whole, and nothing else."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first = SavedLogin("127.0.0.1:1", "https://login.example", "cli", AUDIENCE, "x", 1.0)
    write_login(first)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_login.os, "fsync", full)
    with pytest.raises(Failure, match="No space left"):
        write_login(SavedLogin("127.0.0.1:1", "https://login.example", "cli", AUDIENCE, "y", 2.0))
    assert read_login("127.0.0.1:1") == first
    assert [each.name for each in (tmp_path / "haldane" / "logins").iterdir()] == ["127.0.0.1%3A1.json"]
