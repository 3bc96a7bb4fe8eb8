"""Who is at the other end of a gRPC connection with a client certificate."""

from collections.abc import Iterable, Mapping

from controller.core.access.principal import Principal, is_nameable
from controller.core.model.actor import Proof


def peer_principal(properties: Mapping[str, Iterable[bytes]]) -> Principal | None:
    """The principal by gRPC's properties of a connection (`auth_context`); None where nothing is proved.

    gRPC has verified the certificate. Its name is its SPIFFE ID, of which it has one at most, else its common name,
    else its first other name. Names that cannot be seen as they are do not count.
    """
    if b"ssl" not in properties.get("transport_security_type", ()):
        return None
    spiffe = _texts(properties, "peer_spiffe_id")
    names = (*_texts(properties, "x509_common_name"), *_texts(properties, "x509_subject_alternative_name"))
    subjects = [name for name in (*spiffe, *names) if is_nameable(name)]
    if not subjects:
        return None
    own = spiffe[0] if len(spiffe) == 1 and spiffe[0] in subjects else ""
    return Principal(subjects[0], Proof.CERTIFICATE, frozenset(subjects), spiffe=own)


def _texts(properties: Mapping[str, Iterable[bytes]], name: str) -> tuple[str, ...]:
    return tuple(value.decode(errors="replace") for value in properties.get(name, ()))
