"""The documents, held to the suite."""

import ast
from pathlib import Path


def exists(path: Path, names: list[str]) -> bool:
    """Whether that file has that class and function."""
    if not path.exists():
        return False
    body = ast.parse(path.read_text()).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True
