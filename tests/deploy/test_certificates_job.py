"""The job that makes the chart's certificates: once, in time again, and never over what is still good."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.deploy.programs import program
from tests.deploy.secrets_server import SecretsServer

job: Any = program("image/certificates.py")
NAMES = ("h-ca", "h-controller-tls", "h-gateway-tls", "h-monitoring-tls", "h-operator-admin")
HOSTS = ("h", "*.h-pods.ml.svc")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SecretsServer]:
    """An API server without any secret."""
    with SecretsServer(tmp_path, set(NAMES)).serving() as serving:
        yield serving


def run(server: SecretsServer, days: float = 0, hosts: tuple[str, ...] = HOSTS) -> list[str]:
    """The job, so many days from now; the secrets that it made or renewed."""
    wanted = job.wanted("h", hosts, "edge", ["admin"], True)
    made: list[str] = job.make_all(
        job.Secrets(server.url, server.account), "h", wanted, datetime.now(UTC) + timedelta(days=days)
    )
    return made


def certificate(server: SecretsServer, name: str) -> x509.Certificate:
    """The one in a secret, which its CA has signed."""
    data = server.data(name)
    made = x509.load_pem_x509_certificate(data["tls.crt"])
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(data["ca.crt"]))
    return made


def test_every_certificate_is_made(server: SecretsServer) -> None:
    """With the names that the controller and proxies compare; the CA's key is in the CA's secret alone."""
    assert sorted(run(server)) == sorted(NAMES[1:])
    assert server.secrets.keys() == set(NAMES)
    assert [name for name in NAMES if "ca.key" in server.data(name)] == ["h-ca"]
    names = certificate(server, "h-controller-tls").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [*HOSTS, "localhost"]
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://haldane/ns/default/controller"]
    proxies = certificate(server, "h-gateway-tls").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert proxies.value.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://haldane/ns/default/fleet/edge"
    ]
    assert certificate(server, "h-operator-admin").subject.rfc4514_string() == "CN=admin"
    assert {server.secrets[name]["type"] for name in NAMES[1:]} == {"kubernetes.io/tls"}


def test_what_is_good_stays(server: SecretsServer) -> None:
    """Another run, such as that of an upgrade, writes nothing."""
    run(server)
    server.writes.clear()
    assert run(server) == []
    assert run(server, days=59) == []
    assert server.writes == []


def test_each_is_renewed_a_month_before_it_expires(server: SecretsServer) -> None:
    """By the same CA, so that nothing that trusts it has to change."""
    run(server)
    before = {name: server.data(name) for name in NAMES}
    assert sorted(run(server, days=61)) == sorted(NAMES[1:])
    assert server.data("h-ca") == before["h-ca"]
    for name in NAMES[1:]:
        assert server.data(name)["ca.crt"] == before[name]["ca.crt"]
        assert server.data(name)["tls.key"] != before[name]["tls.key"]


def test_another_host_renews_the_controllers_alone(server: SecretsServer) -> None:
    """Such as one more of tls.hosts."""
    run(server)
    assert run(server, hosts=(*HOSTS, "haldane.example")) == ["h-controller-tls"]
    assert certificate(server, "h-controller-tls")


@pytest.mark.parametrize("broken", [{}, {"tls.crt": "bm9uZQ==", "tls.key": "bm9uZQ==", "ca.crt": "bm9uZQ=="}])
def test_a_broken_secret_is_replaced(server: SecretsServer, broken: dict[str, str]) -> None:
    """An empty one, or one of another CA."""
    run(server)
    server.secrets["h-gateway-tls"]["data"] = broken
    assert run(server) == ["h-gateway-tls"]
    assert certificate(server, "h-gateway-tls")


def test_two_jobs_at_once_have_one_ca(server: SecretsServer) -> None:
    """What the other one has created in between counts."""

    class Slower(job.Secrets):  # type: ignore[misc]
        def create(self, name: str, data: Any, kind: str = "kubernetes.io/tls") -> bool:
            if name == "h-ca":
                run(server)
            made: bool = super().create(name, data, kind)
            return made

    made = job.make_all(
        Slower(server.url, server.account), "h", job.wanted("h", HOSTS, "", [], False), datetime.now(UTC)
    )
    assert made == []
    assert certificate(server, "h-controller-tls")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda server: server.allowed.clear(), "GET secrets/h-ca: 403 .*forbidden"),
        (lambda server: (server.account / "token").write_text("other"), "GET secrets/h-ca: 401"),
        (lambda server: server.secrets.update({"h-ca": {"data": {"ca.crt": "eA=="}}}), "h-ca has no ca.key: delete it"),
    ],
)
def test_what_is_refused_is_named(server: SecretsServer, spoil: Any, problem: str) -> None:
    """The request and the API server's reason; nothing is written."""
    spoil(server)
    with pytest.raises(job.Refused, match=problem):
        run(server)
    assert server.writes == []
