"""Settings: two places, one order, and everything that is wrong named at once with its key and what would be right."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.model.severity import Severity
from controller.settings import SINGLE, TABLES, Settings, heading, read_settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests are no part of them."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HALDANE_{name.upper()}", raising=False)
    monkeypatch.delenv("HALDANE_CONFIG", raising=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the settings file and name it in the environment."""

    def write_file(text: str) -> Path:
        path = tmp_path / "haldane.toml"
        path.write_text(text)
        monkeypatch.setenv("HALDANE_CONFIG", str(path))
        return path

    return write_file


def refused(given: Mapping[str, object] | None = None) -> list[str]:
    """What is wrong with the settings, as a person is told."""
    with pytest.raises(Refusal) as refusal:
        read_settings(**(given or {}))
    assert refusal.value.code is Code.INVALID
    return [str(violation) for violation in refusal.value.violations]


def test_without_any_setting_there_are_defaults() -> None:
    """Everything on the loopback, nobody told, nobody asked."""
    settings = read_settings()
    assert settings.xds_listen == "127.0.0.1:18000"
    assert (settings.notify, settings.hooks) == ({}, {})


def test_the_environment_wins_over_the_file_and_options_over_both(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One order, so that it can be told where a value comes from."""
    write('drain = "3s"\nreport_interval = 2\nlog_level = "error"\n')
    monkeypatch.setenv("HALDANE_DRAIN", "4")
    monkeypatch.setenv("HALDANE_LOG_LEVEL", "debug")
    settings = read_settings(log_level="warning")
    assert (settings.report_interval, settings.drain, settings.log_level) == (2.0, 4.0, "warning")


def test_tables_are_read(write: Write, tmp_path: Path) -> None:
    """Targets and hooks by their names, with their defaults."""
    (tmp_path / "secret").write_text("key")
    write(
        f"""
        [notify.on-call]
        apprise_file = "{tmp_path}/secret"
        severity = "critical"
        [notify.audit]
        url = "https://events.example.com/haldane?tenant=1"
        secret_file = "{tmp_path}/secret"
        give_up = "5m"
        [hooks.qa-gate]
        url = "http://127.0.0.1:9090/gate"
        types = ["confirm-promotion", "event"]
        metadata = {{ team = "fraud" }}
        """
    )
    settings = read_settings()
    assert settings.notify["on-call"].severity is Severity.CRITICAL
    assert settings.notify["audit"].give_up == 300
    assert settings.hooks["qa-gate"].types == {"confirm-promotion", "event"}
    assert settings.hooks["qa-gate"].every == 10


def test_limits_are_one_table_without_names(write: Write) -> None:
    """What is not said keeps its default."""
    write("[xds_limits]\nstreams = 100\nfirst_request = '500ms'\n")
    limits = read_settings().xds_limits
    assert (limits.streams, limits.first_request, limits.streams_per_node) == (100, 0.5, 8)


@pytest.mark.parametrize("heading", ["[oidc]", "[[oidc]]"])
def test_one_issuer_is_a_table_or_a_list_of_one(write: Write, heading: str) -> None:
    """Both forms say the same."""
    write(f"{heading}\nissuer = 'https://idp.example'\naudience = 'haldane'\n")
    (issuer,) = read_settings().oidc
    assert (issuer.issuer, issuer.audience, issuer.groups_claim) == ("https://idp.example", "haldane", "groups")


BAD: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("[notify", ["HALDANE_CONFIG: ", "is not TOML"]),
    "binary": ("\x00\x01", ["HALDANE_CONFIG: ", "is not TOML"]),
    "a key twice": ("drain = 1\ndrain = 2", ["HALDANE_CONFIG: ", "is not TOML"]),
    "too long": ("# " + "x" * 1_048_577, ["HALDANE_CONFIG: ", "has more than 1048576 bytes"]),
    "unknown setting": ("stoer = 'x'", ["stoer: is no setting; did you mean store?"]),
    "unknown and unlike": ("zzzz = 1", ["zzzz: is no setting; docs/settings.md lists them"]),
    "not on the loopback": ("xds_listen = '0.0.0.0:18000'", ["xds_listen: 0.0.0.0 is not a loopback address"]),
    "no port": ("xds_listen = 'localhost'", ["xds_listen: HOST:PORT is needed, such as 127.0.0.1:18000"]),
    "an etcd without a port": ("store = 'etcd:10.0.0.1'", ["store: etcd:HOST:PORT,HOST:PORT,... is needed"]),
    "an etcd with a wrong prefix": ("store = 'etcd:e:1?prefix=x'", ["store: after `?` comes `prefix=/NAME`"]),
    "half a certificate for etcd": ("[etcd]\nkey_file = 'x'", ["etcd: certificate_file and key_file go together"]),
    "no worker at all": ("workers = 0", ["workers: should be greater than or equal to 1"]),
    "too many workers": ("workers = 65", ["workers: should be less than or equal to 64"]),
    "workers over etcd": (
        "store = 'etcd:e:1'\nworkers = 2",
        [
            "workers: several processes for one store in etcd are several controllers (docs/several-controllers.md): "
            "1 is needed"
        ],
    ),
    "workers at any port": (
        "xds_listen = '127.0.0.1:0'\nworkers = 2",
        ["workers: several processes share xds_listen, so that it needs a port, and not 0"],
    ),
    "no kind of store": ("store = 'state.db'", ["store: sqlite:PATH or etcd:HOST:PORT,HOST:PORT,... is needed"]),
    "a store without a path": ("store = 'sqlite:'", ["store: sqlite:PATH or etcd:HOST:PORT,HOST:PORT,... is needed"]),
    "no duration": ("drain = 'soon'", ["drain: a duration such as 250ms, 5s, 2m or 6h is needed, not 'soon'"]),
    "a boolean duration": ("drain = true", ["drain: seconds, or a duration such as 250ms"]),
    "not a number": ("drain = nan", ["drain: seconds, or a duration such as 250ms"]),
    "infinite": ("drain = inf", ["drain: seconds, or a duration such as 250ms"]),
    "out of range": ("drain = '2m'", ["drain: should be less than or equal to 60"]),
    "no such level": ("log_level = 'loud'", ["log_level: should be 'debug', 'info', 'warning' or 'error'"]),
    "a table that is none": ("notify = 'me'", ["notify: should be a valid dictionary"]),
    "a bad name": ("[hooks.'Q A']\nurl='http://x/'\ntypes=['event']", ["hooks.Q A: a name has 1 to 63 of a-z"]),
    "an empty hook": ("[hooks.qa]", ["hooks.qa.url: is missing", "hooks.qa.types: is missing"]),
    "no types": ("[hooks.qa]\nurl='http://x/'\ntypes=[]", ["hooks.qa.types: "]),
    "a wrong type": (
        "[hooks.qa]\nurl='http://x/'\ntypes=['confirm']",
        ["hooks.qa.types.", "should be 'confirm-rollout'"],
    ),
    "another scheme": ("[hooks.qa]\nurl='file:///etc/passwd'\ntypes=['event']", ["hooks.qa.url: an address such as"]),
    "no host": ("[hooks.qa]\nurl='http://'\ntypes=['event']", ["hooks.qa.url: an address such as"]),
    "a port beyond": ("[hooks.qa]\nurl='http://x:70000/'\ntypes=['event']", ["hooks.qa.url: an address such as"]),
    "a line end": ("[hooks.qa]\nurl=\"http://x/\\n\"\ntypes=['event']", ["hooks.qa.url: an address such as"]),
    "a password": ("[hooks.qa]\nurl='http://u:hunter2@x/'\ntypes=['event']", ["a password does not belong here"]),
    "an unknown key": (
        "[hooks.qa]\nurl='http://x/'\ntypes=['event']\nretry=1",
        ["hooks.qa.retry: is no setting; did you"],
    ),
    "an unknown limit": ("[xds_limits]\nstream = 9", ["xds_limits.stream: is no setting; did you mean streams?"]),
    "no limit at all": ("[xds_limits]\nnames = 0", ["xds_limits.names: should be greater than or equal to 1"]),
    "a limit in words": ("[xds_limits]\nwrite = 'soon'", ["xds_limits.write: a duration such as 250ms"]),
    "no target": ("[notify.ops]", ["notify.ops: either url (for programs) or apprise_file (for people) is needed"]),
    "a secret that is not there": (
        "[notify.ops]\nurl='http://x/'\nsecret_file='/nowhere'",
        ["notify.ops.secret_file: there is no readable file /nowhere"],
    ),
    "a secret for nobody": (
        f"[notify.ops]\napprise_file='{__file__}'\nsecret_file='{__file__}'",
        ["notify.ops: secret_file goes with url"],
    ),
    "an issuer in the clear": (
        "[oidc]\nissuer='http://idp.example'\naudience='haldane'",
        ["oidc.0.issuer: https:// is needed"],
    ),
    "an issuer twice": (
        "[[oidc]]\nissuer='https://a.example'\naudience='x'\n[[oidc]]\nissuer='https://a.example'\naudience='y'",
        ["oidc: an issuer stands there once"],
    ),
    "two logins": (
        "[[oidc]]\nissuer='https://a.example'\naudience='x'\nclient_id='c'\n"
        "[[oidc]]\nissuer='https://b.example'\naudience='x'\nclient_id='c'",
        ["oidc: one issuer at most has a client_id"],
    ),
    "an issuer without an audience": ("[oidc]\nissuer='https://a.example'", ["oidc.0.audience: is missing"]),
    "two ways": (
        f"[notify.ops]\napprise_file='{__file__}'\nurl='http://x/'",
        ["notify.ops: either url (for programs) or apprise_file (for people) is needed"],
    ),
    "a wrong severity": (
        "[notify.ops]\nurl='http://x/'\nseverity='high'",
        ["severity: one of info, warning, critical"],
    ),
    "a wrong kind": (
        "[notify.ops]\nurl='http://x/'\nkinds=['rolback']",
        ["notify.ops.kinds.0: did you mean rollback?"],
    ),
}


@pytest.mark.proves("bad-input settings")
@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_its_key(write: Write, text: str, told: list[str]) -> None:
    """Each mistake by its key and what would be right; a password that was found is not repeated."""
    write(text)
    found = "\n".join(refused())
    assert all(words in found for words in told), found
    assert "hunter2" not in found


@pytest.mark.proves("bad-input settings")
def test_everything_wrong_is_told_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """From both places, each named as it was written there."""
    write("drain = 99\n[hooks.qa]\nurl = 'x'")
    monkeypatch.setenv("HALDANE_SYNC_SHARE", "2")
    monkeypatch.setenv("HALDANE_LOG_LEVLE", "debug")
    found = refused({"xds_listen": "1.2.3.4:1"})
    assert [violation.partition(":")[0] for violation in sorted(found)] == [
        "HALDANE_LOG_LEVLE",
        "HALDANE_SYNC_SHARE",
        "drain",
        "hooks.qa.types",
        "hooks.qa.url",
        "xds_listen",
    ]
    assert "HALDANE_LOG_LEVLE: is no setting; did you mean HALDANE_LOG_LEVEL?" in found


@pytest.mark.parametrize(
    "variable", ["HALDANE_PORT", "HALDANE_SERVICE_HOST", "HALDANE_PORT_18000_TCP", "HALDANE_ADMIN"]
)
def test_variables_of_others_are_let_be(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Kubernetes sets some for a service of our name; the command line has one of its own."""
    monkeypatch.setenv(variable, "tcp://10.0.0.1:18000")
    read_settings()


@pytest.mark.parametrize("table", TABLES)
def test_tables_do_not_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """There is one place for them, and the refusal names it."""
    monkeypatch.setenv(f"HALDANE_{table.upper()}", "{}")
    place = f"{'table' if table in SINGLE else 'tables'} {heading(table)}"
    assert refused() == [
        f"HALDANE_{table.upper()}: belongs into the settings file, as {place}; HALDANE_CONFIG names that file"
    ]


@pytest.mark.parametrize(("name", "why"), [("nowhere.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, why: str
) -> None:
    """A controller that silently ran without its hooks would be worse than none."""
    monkeypatch.setenv("HALDANE_CONFIG", str(tmp_path / name))
    (found,) = refused()
    assert found.startswith(f"HALDANE_CONFIG: {tmp_path / name} cannot be read: {why}")


@pytest.mark.proves("track-record 30")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody without a home")
def test_somebody_without_a_home_is_told_what_to_say() -> None:
    """As in a container with a user id of its own: a setting is missing, and it is no fault of ours."""
    plain = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_STATE_HOME")}
    program = (
        "import os, sys, controller.settings, controller.cli.commands.serve, controller.cli.grpc_failure\n"
        "import controller.cli.invocation; from controller.__main__ import main\n"
        "os.setuid(54321); sys.exit(main(['serve']))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=plain, text=True, capture_output=True, check=False)
    assert done.returncode == 2
    assert "store: there is no home directory here: name a file, sqlite:PATH" in done.stderr


def documented(heading: str) -> dict[str, str]:
    """The settings that a section of docs/settings.md lists: name -> default."""
    section = DOCS.read_text().partition(f"## {heading}")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M))


def test_the_documentation_lists_every_plain_setting() -> None:
    """With the default that it has."""
    plain = {name: field for name, field in Settings.model_fields.items() if name not in TABLES}
    listed = documented("Plain settings")
    assert listed.keys() == plain.keys()
    told = {name for name, field in plain.items() if field.default_factory}  # in words
    assert {name: default for name, default in listed.items() if name not in told} == {
        name: f"`{field.default}`" for name, field in plain.items() if name not in told
    }


WORDS = {"None": "none", "PydanticUndefined": "needed"}
EMPTY = {
    "kinds": "every kind",
    "services": "every service",
    "metadata": "empty",
    "severity": "`info`",
    "scopes": "`openid`, `email` and `profile`",
}
"""Defaults that the documentation tells in words."""


@pytest.mark.parametrize("table", TABLES)
def test_the_documentation_lists_everything_in_the_tables(table: str) -> None:
    """With the default that it has."""
    listed = documented(f"`{heading(table)}`")
    fields = TABLES[table].model_fields
    assert listed == {
        name: EMPTY.get(name) or WORDS.get(str(field.default), f"`{field.default}`") for name, field in fields.items()
    }


def test_the_api_server_of_kubernetes_is_not_sent_a_token_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP is for loopback."""
    for url in ("https://10.0.0.1:6443", "http://127.0.0.1:8001"):
        monkeypatch.setenv("HALDANE_KUBERNETES_API", url)
        assert read_settings().kubernetes_api == url
    monkeypatch.setenv("HALDANE_KUBERNETES_API", "http://10.0.0.1:8080")
    with pytest.raises(Refusal) as refused:
        read_settings()
    assert [(v.field, "https:// is needed" in v.message) for v in refused.value.violations] == [
        ("HALDANE_KUBERNETES_API", True)
    ]


def test_a_dns_server_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name would have to be resolved first."""
    for address in ("10.0.0.53:53", "[fd00::53]:53", ""):
        monkeypatch.setenv("HALDANE_DNS_SERVER", address)
        assert read_settings().dns_server == address
    for wrong in ("10.0.0.53", "dns.internal:53", "10.0.0.53:0", "10.0.0.53:70000"):
        monkeypatch.setenv("HALDANE_DNS_SERVER", wrong)
        with pytest.raises(Refusal, match="IP:PORT is needed"):
            read_settings()


def test_the_folder_that_is_applied_is_there_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A misspelt one would never be noticed otherwise."""
    monkeypatch.setenv("HALDANE_APPLY_FROM", str(tmp_path))
    assert read_settings().apply_from == tmp_path
    monkeypatch.setenv("HALDANE_APPLY_FROM", str(tmp_path / "none"))
    with pytest.raises(Refusal, match="there is no folder"):
        read_settings()
