"""The code that the documentation shows, as a user would copy it."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def snippet(page: str, name: str) -> Any:
    """The function of that name in a page's Python blocks."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)
    found = [block for block in blocks if f"def {name}(" in block]
    assert len(found) == 1
    space: dict[str, Any] = {}
    exec(found[0], space)
    return space[name]
