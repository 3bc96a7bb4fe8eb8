"""The certificates of the Helm chart's `tls.source: job`, in secrets of its namespace: made once, renewed in time.

`certificates.py --prefix NAME --host H --fleet F --operator O --monitoring`, in a pod whose service account may create,
read and update the secrets NAME-ca, NAME-controller-tls, NAME-gateway-tls, NAME-operator-O and NAME-monitoring-tls. It
is `haldane certs` with secrets in place of folders: for a first day, since the CA's key is in a secret, and the CA is
not renewed.

A secret is left as it is as long as its certificate is of this CA, names the same hosts and lives for RENEW_DAYS more.
"""

import argparse
import base64
import json
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from controller.identity.first_certificates import Wanted, issue_all, wanted_certificates

RENEW_DAYS = 30
"""Of the 90 that a certificate lives."""
CA_WARN_DAYS = 60
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "https://kubernetes.default.svc"

Data = Mapping[str, bytes]
"""What is in a secret."""


class Refused(Exception):  # noqa: N818
    """The API server refused a request, and why."""


class Secrets:
    """The secrets of a namespace, by the API server at `server`, with the service account in `account`."""

    def __init__(self, server: str = SERVER, account: Path = ACCOUNT) -> None:
        self._token = (account / "token").read_text().strip()
        namespace = (account / "namespace").read_text().strip()
        self._url = f"{server}/api/v1/namespaces/{namespace}/secrets"
        self._context = ssl.create_default_context(cafile=str(account / "ca.crt")) if server[:5] == "https" else None

    def read(self, name: str) -> Data | None:
        """What is in a secret; None if there is none. Raises `Refused`."""
        secret = self._request("GET", f"/{name}", None, none_if=404)
        if secret is None:
            return None
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    def create(self, name: str, data: Data, kind: str = "kubernetes.io/tls") -> bool:
        """Make a secret. False if there is one already. Raises `Refused`."""
        return self._request("POST", "", _secret(name, data, kind), none_if=409) is not None

    def replace(self, name: str, data: Data) -> None:
        """Replace what is in a secret. Raises `Refused`."""
        self._request("PUT", f"/{name}", _secret(name, data, "kubernetes.io/tls"))

    def _request(self, method: str, path: str, body: object, none_if: int = 0) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, content, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._context) as response:  # noqa: S310
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            if error.code == none_if:
                return None
            raise Refused(f"{method} secrets{path}: {error.code} {error.read(500).decode(errors='replace')}") from None
        except OSError as error:
            raise Refused(f"{method} secrets{path}: {error}") from None


def _secret(name: str, data: Data, kind: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": coded}


def wanted(prefix: str, hosts: Sequence[str], fleet: str, operators: Sequence[str], monitoring: bool) -> list[Wanted]:
    """The certificates, each under the name of its secret."""
    names = {"controller": f"{prefix}-controller-tls", f"fleet-{fleet}": f"{prefix}-gateway-tls"}
    made = [
        replace(each, name=names.get(each.name, f"{prefix}-{each.name}"))
        for each in wanted_certificates(hosts, [fleet] if fleet else [], operators)
    ]
    if monitoring:
        made.append(Wanted(f"{prefix}-monitoring-tls", "monitoring"))
    return made


def is_current(data: Data | None, wanted: Wanted, ca: bytes, now: datetime) -> bool:
    """Whether a secret can stay as it is."""
    if data is None or data.get("ca.crt") != ca or not data.get("tls.key"):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(data.get("tls.crt", b""))
    except ValueError:
        return False
    if certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
        return False
    try:
        names = tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = ()
    return names == wanted.alternative_names


def make_all(secrets: Secrets, prefix: str, certificates: Sequence[Wanted], now: datetime) -> list[str]:
    """Make or renew what is needed; the names of these secrets. Raises `Refused`."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ca = _authority(secrets, f"{prefix}-ca", folder)
        until = x509.load_pem_x509_certificate(ca).not_valid_after_utc
        if until - now < timedelta(days=CA_WARN_DAYS):
            print(f"the CA ends on {until:%Y-%m-%d}: delete the secrets and restart, or use an issuer that renews it")
        had = {each.name: secrets.read(each.name) for each in certificates}
        needed = [each for each in certificates if not is_current(had[each.name], each, ca, now)]
        issue_all(folder, needed)
        for each in needed:
            data = {file.name: file.read_bytes() for file in (folder / each.name).iterdir()}
            if had[each.name] is not None or not secrets.create(each.name, data):
                secrets.replace(each.name, data)
        return [each.name for each in needed]


def _authority(secrets: Secrets, name: str, folder: Path) -> bytes:
    """The CA's certificate; it and its key are in the folder, and in that secret."""
    data = secrets.read(name)
    if data is None:
        with tempfile.TemporaryDirectory() as fresh:
            issue_all(Path(fresh), [])
            made = {file: (Path(fresh) / file).read_bytes() for file in ("ca.crt", "ca.key")}
        secrets.create(name, made, "Opaque")
        data = secrets.read(name) or {}  # another job may have been faster: its CA counts
    for file in ("ca.crt", "ca.key"):
        if not data.get(file):
            raise Refused(f"the secret {name} has no {file}: delete it, and the certificates are made again")
        (folder / file).write_bytes(data[file])
    return data["ca.crt"]


def run(words: Sequence[str], secrets: Secrets) -> list[str]:
    """The program with these arguments: the names of the secrets that it made or renewed. Raises `Refused`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--fleet", default="")
    parser.add_argument("--operator", action="append", default=[])
    parser.add_argument("--monitoring", action="store_true")
    given = parser.parse_args(words)
    certificates = wanted(given.prefix, given.host, given.fleet, given.operator, given.monitoring)
    return make_all(secrets, given.prefix, certificates, datetime.now(UTC))


def main() -> None:
    """Make or renew them, and print which."""
    try:
        made = run(sys.argv[1:], Secrets())
    except (Refused, ValueError, OSError) as error:
        sys.exit(f"certificates: {error}")
    print(f"made {', '.join(made)}" if made else "every certificate is current")


if __name__ == "__main__":
    main()
