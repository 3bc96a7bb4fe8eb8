"""A caller whose identity was verified."""

from dataclasses import dataclass

from controller.core.base.text import is_printable
from controller.core.model.actor import Proof

MAX_NAME = 255
"""Characters of a name (of a subject: OpenID Connect Core 1.0, section 2)."""


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


def is_nameable(name: str) -> bool:
    """Whether it can be stored and shown as whose name it is."""
    return 0 < len(name) <= MAX_NAME and is_printable(name)
