"""The name that a client claims where nothing is verified."""

import re

from controller.core.base.errors import Violation, invalid

ANONYMOUS = "anonymous"
MAX_USER = 64
"""Characters of a user's name."""
FIELD = "haldane-user"

_PRINTABLE = re.compile(r"[ -~]+\Z")


def claimed_name(name: str, peer: str) -> str:
    """The caller, for the ledger: `alice@127.0.0.1`. `Refusal` for a name that cannot be stored and shown.

    The name is claimed by the client; the address shows that nothing has verified it.
    """
    if len(name) > MAX_USER or (name and not _PRINTABLE.match(name)):
        raise invalid([Violation(FIELD, f"a user's name has at most {MAX_USER} printable ASCII characters")])
    return f"{name or ANONYMOUS}@{peer}"
