"""Who a proxy says that it is."""

import re
import secrets
import socket

from controller.core.base.value import NAME

NODE = r"[\x21-\x7e]{1,256}"
"""The pattern of a node id: printable characters without spaces."""


def node_of(fleet: str, node: str | None) -> dict[str, str]:
    """The xDS node. Without `node` the id is this host's name and a few random letters. Raises ValueError, which names
    the invalid option and what is needed."""
    if not re.fullmatch(NAME, fleet):
        raise ValueError(
            f"--fleet: lower-case letters, digits, '_', '.' and '-', at most 63, are needed, not {fleet!r}"
        )
    if node and not re.fullmatch(NODE, node):
        raise ValueError(f"--node: 1 to 256 printable characters without spaces are needed, not {node!r}")
    return {"id": node or f"{socket.gethostname()[:200]}-{secrets.token_hex(3)}", "cluster": fleet}
