"""Certificates for a first day and for tests: a CA of one's own, and what it signs. In production an issuer that renews
them by itself does this, such as cert-manager or SPIRE.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.core.access.spiffe_names import CONTROLLER, spiffe_of_fleet

CA_DAYS = 365
LEAF_DAYS = 90
"""Days of validity."""
LOCAL = ("localhost", "127.0.0.1", "::1")
"""The hosts that each controller's certificate is for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate to be issued into the folder `name`."""

    name: str
    common_name: str
    alternative_names: tuple[x509.GeneralName, ...] = ()


def wanted_certificates(hosts: Sequence[str], fleets: Sequence[str], operators: Sequence[str]) -> Iterator[Wanted]:
    """Those of a controller that is reached by these hosts, of proxies of these fleets, and of people."""
    names = [_host_name(host) for host in dict.fromkeys((*hosts, *LOCAL))]
    yield Wanted("controller", "controller", (x509.UniformResourceIdentifier(CONTROLLER), *names))
    for fleet in dict.fromkeys(fleets):
        spiffe = x509.UniformResourceIdentifier(spiffe_of_fleet(fleet))
        yield Wanted(f"fleet-{fleet}", f"fleet {fleet}", (spiffe,))
    for operator in dict.fromkeys(operators):
        yield Wanted(f"operator-{operator}", operator)


def issue_all(folder: Path, wanted: Sequence[Wanted]) -> None:
    """Write `tls.crt`, `tls.key` and `ca.crt` of each into a folder of its own, signed by the CA in `folder`, which is
    made if there is none.

    Keys are for this user alone. FileExistsError, before anything is written, if one of the folders is there already;
    another OSError if one cannot be written; ValueError if the CA cannot be read.
    """
    taken = next((folder / each.name for each in wanted if (folder / each.name).exists()), None)
    if taken:
        raise FileExistsError(f"{taken} is there already: nothing is overwritten")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, ca_key = _authority(folder)
    for each in wanted:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _leaf(each, key.public_key(), ca, ca_key)
        own = folder / each.name
        own.mkdir(mode=0o700)
        _write(own / "tls.key", _pem(key), private=True)
        _write(own / "tls.crt", certificate.public_bytes(Encoding.PEM))
        _write(own / "ca.crt", ca.public_bytes(Encoding.PEM))


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The CA in the folder, and its key."""
    certificate_file, key_file = folder / "ca.crt", folder / "ca.key"
    if certificate_file.exists() or key_file.exists():
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is no key of an elliptic curve")
        return x509.load_pem_x509_certificate(certificate_file.read_bytes()), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("Haldane CA of a first day")
    certificate = (
        _dated(CA_DAYS)
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    _write(key_file, _pem(key), private=True)
    _write(certificate_file, certificate.public_bytes(Encoding.PEM))
    return certificate, key


def _leaf(
    wanted: Wanted, key: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    made = (
        _dated(LEAF_DAYS)
        .issuer_name(ca.subject)
        .subject_name(_named(wanted.common_name))
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if wanted.alternative_names:
        made = made.add_extension(x509.SubjectAlternativeName(wanted.alternative_names), critical=False)
    return made.sign(ca_key, SHA256())


def _dated(days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return made.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=days))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a new file, which is private from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    with open(descriptor, "wb") as file:
        file.write(content)
