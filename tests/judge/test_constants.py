"""The numbers that the judge is made of: each has a reason, and they do not become more."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "judge-constants.md"
MOST = 100


def test_the_judge_is_made_of_few_numbers() -> None:
    """The page is drawn from the code, which is checked elsewhere; a new number must replace one, or be argued for."""
    found = re.search(r"^(\d+) constants in \d+ modules", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) <= MOST
