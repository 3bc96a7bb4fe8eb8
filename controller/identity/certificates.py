"""A certificate -> who it names, and until when it is valid."""

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from controller.core.access.principal import Principal, is_nameable
from controller.core.model.actor import Proof

SPIFFE = "spiffe://"


def principal_of(certificate: bytes) -> Principal:
    """The principal of a client certificate (DER) whose chain has been verified.

    Its name is its SPIFFE ID, else its common name, else its first DNS name or its serial number. Names that cannot be
    seen as they are do not count: two could look the same. ValueError if it cannot be parsed, or has several SPIFFE
    IDs, which the standard forbids.
    """
    parsed = x509.load_der_x509_certificate(certificate)
    uris, names = _alternative_names(parsed)
    spiffe = [uri for uri in uris if uri.startswith(SPIFFE)]
    if len(spiffe) > 1:
        raise ValueError("a certificate has one SPIFFE ID at most")
    common = [str(each.value) for each in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    subjects = tuple(filter(is_nameable, (*spiffe, *common, *names)))
    return Principal(
        name=subjects[0] if subjects else f"certificate {parsed.serial_number:x}",
        proof=Proof.CERTIFICATE,
        subjects=frozenset(subjects),
        spiffe=spiffe[0] if spiffe and spiffe[0] in subjects else "",
    )


def expiry_of(pem: bytes) -> datetime:
    """When the first of these certificates (PEM) to expire does so. ValueError if there is none."""
    return min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(pem))


def _alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Its URIs, and its DNS names and e-mail addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    others = [*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.RFC822Name)]
    return names.get_values_for_type(x509.UniformResourceIdentifier), others
