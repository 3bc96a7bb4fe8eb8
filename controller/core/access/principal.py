"""A caller whose identity was verified."""

from dataclasses import dataclass

from controller.core.model.actor import Proof


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as it was proved: what the settings' bindings name.

    `name` goes into the ledger. `subjects` are the names that a binding's `subject` may give: the subject of a token
    and its e-mail address, the common name and the DNS names of a certificate, `unix:USER` of a socket.
    """

    name: str
    proof: Proof
    subjects: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    spiffe: str = ""
    """The SPIFFE ID of its certificate, "" if it has none."""
    issuer: str = ""
    """The OpenID Connect issuer of its token, "" for none."""
    token_file: str = ""
    """The file of static tokens that its token stands in, "" for none."""
