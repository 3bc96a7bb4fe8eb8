"""The commands against a controller with TLS and rights: each credential, and each way that a connection can fail."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.cli.endpoint import Endpoint
from controller.cli.failure import Exit, Failure
from controller.cli.tls_diagnosis import diagnose
from tests.builders import service_file
from tests.cli.admin_server import WITHIN, eventually
from tests.cli.secured_controller import TOKEN, SecuredController
from tests.support import preloaded
from tests.support.authority import Authority, IssuedCertificate
from tests.support.issuer import Issuer, issuer_in_a_thread

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredController]:
    """A controller for the tests of this module."""
    with issuer_in_a_thread(Issuer(person={"sub": "alice"})) as issuer:
        oidc = f'oidc = {{issuer = "{issuer.url}", audience = "haldane", client_id = "cli"}}'
        controller = SecuredController(tmp_path_factory.mktemp("secured"), oidc)
        controller.prepare()
        try:
            controller.start()
            yield controller
        finally:
            controller.stop()


def test_a_client_certificate_says_who_acts(secured: SecuredController) -> None:
    """`whoami` shows the name, how it is known, and the roles."""
    done = secured.run("whoami", *secured.by("alice"))
    assert (done.code, done.out.splitlines()[:2]) == (
        0,
        [f"alice (verified by certificate) at {secured.admin}", "admin on *"],
    )
    assert secured.run("whoami", "-o", "json", *secured.by("alice")).document["verified_by"] == "certificate"


def test_the_environment_can_say_all_of_it(secured: SecuredController) -> None:
    """Each option has a variable."""
    folder = secured.certs / "operator-alice"
    variables = {
        "HALDANE_ADMIN": secured.admin,
        "HALDANE_CA": str(secured.certs / "ca.crt"),
        "HALDANE_CERTIFICATE": str(folder / "tls.crt"),
        "HALDANE_KEY": str(folder / "tls.key"),
    }
    assert "alice (verified by certificate)" in secured.run("whoami", **variables).out
    del variables["HALDANE_CERTIFICATE"], variables["HALDANE_KEY"]
    token = {**variables, "HALDANE_TOKEN_FILE": str(secured.folder / "token")}
    assert "pager (verified by token)" in secured.run("whoami", **token).out


def test_on_the_machine_the_socket_of_ones_own_controller_is_the_default(secured: SecuredController) -> None:
    """Without any option, as long as somebody listens there: with HALDANE_STORE, or named itself."""
    store = {"HALDANE_STORE": f"sqlite:{secured.folder}/haldane.db"}
    socket = f"{secured.folder}/haldane.db.admin.sock"
    for how in (store, {"HALDANE_ADMIN_SOCKET": socket}, {"HALDANE_ADMIN": f"unix:{socket}"}):
        done = secured.run("whoami", **how)
        assert "(verified by socket)" in done.out, (how, done)
        assert "admin on *" in done.out
    elsewhere = secured.run("whoami", HALDANE_STORE=f"sqlite:{secured.folder}/other.db")
    assert elsewhere.code == Exit.UNREACHABLE or "18001" in elsewhere.out


def test_a_login_brings_its_token_by_tls(secured: SecuredController) -> None:
    """And knows the CA that it was made with; what the command line names goes before it."""
    done = secured.run("login", *secured.trusting())
    assert (done.code, "alice (verified by oidc)" in done.out) == (0, True), done
    assert "admin on *" in secured.run("whoami", "--admin", secured.admin).out
    assert "vera (verified by certificate)" in secured.run("whoami", *secured.by("vera")).out
    assert secured.run("logout", "--admin", secured.admin).code == 0
    assert "name the CA" in secured.run("whoami", "--admin", secured.admin).err


def test_can_answers_by_its_exit_code(secured: SecuredController) -> None:
    """By commands and by permissions; for one service and for all."""
    vera, pager = secured.by("vera"), (*secured.trusting(), "--token-file", str(secured.folder / "token"))
    assert secured.run("can", "view", "fraud-scorer", *vera).out == "yes\n"
    denied = secured.run("can", "start", "fraud-scorer", *vera)
    assert (denied.code, denied.out) == (1, "no: vera has no role that allows `operate` on fraud-scorer\n")
    assert secured.run("can", "view", "other", *vera).code == 1
    assert secured.run("can", "view", "--all", *vera).code == 1
    assert secured.run("can", "rollback", "--force", "other", *pager).code == 0
    assert secured.run("can", "freeze", "--all", *pager).code == 0
    assert secured.run("can", "-o", "json", "apply", "other", *pager).document["allowed"] is False
    unknown = secured.run("can", "rolback", "other", *vera)
    assert (unknown.code, "did you mean 'rollback'" in unknown.err) == (2, True)


def test_what_is_denied_says_why_and_what_to_do(secured: SecuredController) -> None:
    """Exit code 1 and a hint, without a credential and with one that has no role."""
    anonymous = secured.run("list", *secured.trusting())
    assert (anonymous.code, "haldane login" in anonymous.err) == (1, True), anonymous
    denied = secured.run("freeze", "--all", "--reason", "x", *secured.by("nobody"))
    assert denied.code == 1
    assert "nobody has no role that allows" in denied.err
    assert "haldane whoami" in denied.err


def test_a_token_that_is_not_valid_is_refused(secured: SecuredController, tmp_path: Path) -> None:
    """Also beside a valid certificate."""
    (tmp_path / "token").write_text("another-token-of-the-tests")
    done = secured.run("whoami", *secured.by("alice"), "--token-file", str(tmp_path / "token"))
    assert (done.code, "the token is not valid" in done.err) == (1, True)


def test_failures_of_tls_are_named(secured: SecuredController, tmp_path: Path) -> None:
    """A plaintext client, another CA, a certificate of another CA, an expired one, the wrong port."""
    assert "speaks TLS: name the CA" in secured.run("list", "--admin", secured.admin).err
    stranger = Authority()
    (tmp_path / "ca.crt").write_bytes(stranger.certificate)
    for ca in (str(tmp_path / "ca.crt"), "system"):
        other = secured.run("list", "--admin", secured.admin, "--ca", ca)
        assert (other.code, "of none of the CAs of --ca" in other.err) == (6, True), other
    for hours, said in ((1.0, "it is probably of a CA"), (-0.5, "it has expired")):
        issued = stranger.issue("alice", until=datetime.now(UTC) + timedelta(hours=hours))
        (tmp_path / "tls.crt").write_bytes(issued.certificate)
        (tmp_path / "tls.key").write_bytes(issued.key)
        refused = secured.run("list", *secured.trusting(), *secured.certificate(tmp_path))
        assert (refused.code, f"rejects your certificate: {said}" in refused.err) == (6, True), refused
    console = secured.run("list", "--admin", secured.http, "--ca", str(secured.certs / "ca.crt"))
    assert (console.code, "it is an HTTP port" in console.err) == (6, True), console
    xds = secured.run("list", "--admin", secured.xds, *secured.by("alice")[2:])
    assert (xds.code, "it is the xDS port" in xds.err) == (6, True), xds


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[[IssuedCertificate], str]]:
    """Serves TLS handshakes with a certificate; the address."""
    with contextlib.ExitStack() as stack:

        def serve(issued: IssuedCertificate) -> str:
            (tmp_path / "own.pem").write_bytes(issued.certificate + issued.key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "own.pem")
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def shake_hands() -> None:
                with contextlib.suppress(OSError):
                    accepted, _ = listener.accept()
                    with accepted, context.wrap_socket(accepted, server_side=True):
                        pass

            threading.Thread(target=shake_hands, daemon=True).start()
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield serve


def test_a_controllers_certificate_that_cannot_be_trusted_says_why(
    serving: Callable[[IssuedCertificate], str], tmp_path: Path
) -> None:
    """Expired, or of another host."""
    authority = Authority()
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.certificate)
    expired = serving(authority.issue("controller", until=datetime.now(UTC) - timedelta(minutes=1)))
    assert diagnose(Endpoint(expired, ca=str(ca))).endswith("cannot be trusted: its certificate has expired")
    port = serving(authority.issue("controller", dns="other.example")).rpartition(":")[2]
    assert "not valid for 'localhost'" in diagnose(Endpoint(f"localhost:{port}", ca=str(ca)))


def test_tls_to_a_plain_port_is_named(tmp_path: Path, secured: SecuredController) -> None:
    """The reverse: a controller without TLS."""
    from tests.cli.admin_server import AdminServer

    with AdminServer() as plain:
        done = secured.run("list", "--admin", plain.address, *secured.by("alice")[2:])
    assert (done.code, "does not speak TLS" in done.err) == (6, True), done


def test_a_token_does_not_leave_the_machine_in_the_clear(tmp_path: Path) -> None:
    """It is sent by TLS, to loopback, or through a UNIX socket."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    for address in ("127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/x"):
        assert Endpoint(address, token_file=str(file)).token() == TOKEN
    assert Endpoint("ctl.example:1", ca="system", token_file=str(file)).token() == TOKEN
    for address in ("ctl.example:1", "10.0.0.1:1", "127.0.0.1.example:1"):
        with pytest.raises(Failure, match="is not sent"):
            Endpoint(address, token_file=str(file)).token()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "nowhere"}, "HOST:PORT is needed"),
        ({"address": "unix:"}, "HOST:PORT is needed"),
        ({"address": "a:1", "certificate": "x"}, "belong together"),
        ({"address": "a:1", "key": "x"}, "belong together"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(options: dict[str, str], said: str) -> None:
    """Before anything is connected to."""
    with pytest.raises(Failure, match=said) as failure:
        Endpoint(**options)
    assert failure.value.status == Exit.USAGE


@pytest.mark.parametrize("option", ["--ca", "--certificate", "--token-file"])
def test_a_file_that_cannot_be_read_is_named(secured: SecuredController, option: str) -> None:
    """With the option."""
    base = {"--ca": secured.trusting()[:2], "--certificate": secured.trusting(), "--token-file": secured.trusting()}
    more = ("--key", "/nowhere/tls.key") if option == "--certificate" else ()
    done = secured.run("list", *base[option], option, "/nowhere/x", *more)
    assert (done.code, f"{option}: /nowhere/x cannot be read" in done.err) == (2, True), done


def test_watch_outlives_a_renewed_certificate_and_a_restart(secured: SecuredController, tmp_path: Path) -> None:
    """Its certificate is replaced by one that the restarted controller knows under another name."""
    own = tmp_path / "own"
    own.mkdir()
    for name in ("tls.crt", "tls.key"):
        (own / name).write_bytes((secured.certs / "operator-alice" / name).read_bytes())
    file = tmp_path / "fraud-scorer.yaml"
    file.write_text(service_file(name="fraud-scorer"))
    applied = secured.run("apply", "-f", str(file), *secured.by("alice"))
    assert applied.code == 0, applied
    output = tmp_path / "output"
    with output.open("wb") as out:
        words = ("events", "--follow", "-o", "json", *secured.trusting(), *secured.certificate(own))
        watching = preloaded.start(*words, env=secured.environment, out=out, err=out)
    try:
        eventually(lambda: "fraud-scorer" in output.read_text(), "the first line")
        for name in ("tls.crt", "tls.key"):
            (own / name).write_bytes((secured.certs / "operator-vera" / name).read_bytes())
        secured.stop()
        secured.start()
        act = ("freeze", "fraud-scorer", "--hold", "--reason", "after the restart")
        assert secured.run(*act, *secured.by("alice")).code == 0
        eventually(lambda: "after the restart" in output.read_text(), "the line after the restart")
        assert watching.poll() is None
    finally:
        watching.kill()
        watching.wait(WITHIN)
