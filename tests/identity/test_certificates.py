"""What a client certificate says of who it is."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controller.core.model.actor import Proof
from controller.identity.certificates import expiry_of, principal_of
from tests.support.authority import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One for all tests."""
    return Authority()


def der(pem: bytes) -> bytes:
    """The same certificate as a handshake has it."""
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


SPIFFE, NAME, HOST = "spiffe://prod/ns/ci/deploy", "alice", "ci.example"
NAMES = {
    "all": ((NAME, SPIFFE, HOST), SPIFFE, {SPIFFE, NAME, HOST}),
    "without a SPIFFE ID": ((NAME, "", HOST), NAME, {NAME, HOST}),
    "a DNS name alone": (("", "", HOST), HOST, {HOST}),
    "another URI": ((NAME, "https://example.com/alice", ""), NAME, {NAME}),
}


@pytest.mark.parametrize(("given", "name", "subjects"), NAMES.values(), ids=NAMES.keys())
def test_its_name_is_the_most_specific_one(
    authority: Authority, given: tuple[str, str, str], name: str, subjects: set[str]
) -> None:
    """The others are subjects too. Only a SPIFFE ID is one: no other URI, and no common name that looks like one."""
    common_name, uri, dns = given
    principal = principal_of(der(authority.issue(common_name, spiffe=uri, dns=dns).certificate))
    assert (principal.name, set(principal.subjects), principal.proof) == (name, subjects, Proof.CERTIFICATE)
    assert principal.spiffe == (uri if uri == SPIFFE else "")


def test_a_common_name_that_looks_like_a_spiffe_id_is_none(authority: Authority) -> None:
    """A binding by SPIFFE ID would take it for one."""
    assert principal_of(der(authority.issue(SPIFFE).certificate)).spiffe == ""


def test_without_any_name_it_is_its_number(authority: Authority) -> None:
    """No binding can name it, and the ledger can."""
    pem = authority.issue().certificate
    principal = principal_of(der(pem))
    assert principal.name == f"certificate {x509.load_pem_x509_certificate(pem).serial_number:x}"
    assert not principal.subjects


@pytest.mark.parametrize("name", ["alice\u200b", "al\u202eice", "alice\x1b[2J"])
def test_a_name_that_cannot_be_seen_as_it_is_does_not_count(authority: Authority, name: str) -> None:
    """Two could look the same, in the ledger and wherever it is shown."""
    principal = principal_of(der(authority.issue(name, dns=HOST).certificate))
    assert (principal.name, principal.subjects) == (HOST, {HOST})


def test_several_spiffe_ids_are_refused(authority: Authority) -> None:
    """The standard forbids them; which one counted would be chance."""
    pem = authority.issue(NAME, spiffe=SPIFFE, more=[x509.UniformResourceIdentifier("spiffe://prod/ns/admin")])
    with pytest.raises(ValueError, match="one SPIFFE ID"):
        principal_of(der(pem.certificate))


@pytest.mark.parametrize("junk", [b"", b"\x30\x03\x02\x01\x01", b"-----BEGIN CERTIFICATE-----"])
@pytest.mark.proves("bad-input 19")
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    """By the error that a door turns into a refusal."""
    with pytest.raises(ValueError):  # noqa: PT011  # the words are those of a library
        principal_of(junk)


def test_a_chain_expires_with_its_first(authority: Authority) -> None:
    """In whichever order they stand."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    short, long = authority.issue(NAME, until=soon).certificate, authority.certificate
    assert expiry_of(short + long) == expiry_of(long + short) == soon
    with pytest.raises(ValueError, match="PEM"):
        expiry_of(b"")
