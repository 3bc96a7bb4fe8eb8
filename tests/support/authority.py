"""A certificate authority for tests, in memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass
class Authority:
    """Issues certificates that are valid for an hour, unless asked for others."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def certificate(self) -> bytes:
        """Its own, in PEM."""
        made = _builder("a CA", "a CA", self.key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self,
        common_name: str = "",
        *,
        spiffe: str = "",
        dns: str = "",
        until: datetime | None = None,
        more: Iterable[x509.GeneralName] = (),
    ) -> IssuedCertificate:
        """A certificate with these names and those `more`, for 127.0.0.1 too. One whose time `until` is over is one
        that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]
        names += [x509.UniformResourceIdentifier(spiffe)] if spiffe else []
        names += [*([x509.DNSName(dns)] if dns else []), *more]
        made = _builder("a CA", common_name, key.public_key(), until)
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return IssuedCertificate(made.sign(self.key, SHA256()).public_bytes(Encoding.PEM), plain)


def _builder(
    issuer: str, subject: str, key: ec.EllipticCurvePublicKey, until: datetime | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().issuer_name(_named(issuer)).subject_name(_named(subject)).public_key(key)
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - timedelta(days=1)).not_valid_after(until or now + timedelta(hours=1))


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
