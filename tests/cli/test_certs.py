"""`haldane certs`: what it makes, for whom, and that it overwrites nothing."""

import ssl
import stat
import tomllib
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.core.access.fleet_rule import allowed_fleets
from controller.core.access.principal import Principal
from controller.identity.certificates import principal_of


def make(folder: Path, *options: str) -> int:
    """The exit code."""
    return int(main(["certs", str(folder), *options]))


def principal(folder: Path) -> Principal:
    """Whom the certificate in a folder names."""
    return principal_of(ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text()))


def test_each_certificate_names_its_holder(tmp_path: Path) -> None:
    """By what the controller makes of it; a fleet's is of that fleet and of no other."""
    made = tmp_path / "certs"
    assert make(made, "--fleet", "edge", "--operator", "alice", "--host", "ctl.example") == 0
    controller = principal(made / "controller")
    assert controller.name == "spiffe://haldane/ns/default/controller"
    assert {"ctl.example", "localhost"} <= controller.subjects
    assert allowed_fleets(principal(made / "fleet-edge"), ()) == ("edge",)
    assert allowed_fleets(controller, ()) == allowed_fleets(principal(made / "operator-alice"), ()) == ()
    assert principal(made / "operator-alice").name == "alice"


def test_keys_are_for_this_user_alone(tmp_path: Path) -> None:
    """Whatever the umask is."""
    assert make(tmp_path / "certs", "--fleet", "edge") == 0
    keys = list((tmp_path / "certs").rglob("*.key"))
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second call adds what is missing, signed by the same CA, or refuses before it writes anything."""
    made = tmp_path / "certs"
    assert make(made, "--fleet", "edge") == 0
    before = {path: path.read_bytes() for path in made.rglob("*.*") if path.is_file()}
    assert make(made, "--fleet", "edge", "--fleet", "core") == 5
    assert "fleet-edge is there already" in capsys.readouterr().err
    assert make(made) == 5
    assert make(made, "--fleet", "lab", "--host", "ctl.example") == 5, "the controller's has other hosts"
    assert not (made / "fleet-core").exists()
    assert make(made, "--fleet", "core") == 0
    assert {path: path.read_bytes() for path in before} == before
    trusted = ssl.create_default_context(cafile=str(made / "fleet-core" / "ca.crt"))
    assert (made / "fleet-core" / "ca.crt").read_bytes() == (made / "ca.crt").read_bytes()
    assert trusted.get_ca_certs()


def test_it_says_what_it_is_for_and_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings that it prints name the files; that it is for a first day is on standard error."""
    assert make(tmp_path / "certs", "--operator", "alice") == 0
    said = capsys.readouterr()
    assert "for a first day and for tests" in said.err
    settings = tomllib.loads(said.out[said.out.index("# For") :])
    assert all(Path(file).is_file() for file in settings["tls"].values())
    assert settings["access"] == [{"subject": "alice", "role": "admin"}]


@pytest.mark.parametrize(
    "options", [("--fleet", "Edge"), ("--fleet", "../x"), ("--operator", 'a"b'), ("--host", "a b"), ("--host", "")]
)
def test_a_name_that_is_none_is_wrong_usage(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Before anything is written."""
    assert make(tmp_path / "certs", *options) == 2
    assert not (tmp_path / "certs").exists()
