"""docs/metrics.md has every metric with its labels, and no other."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.exposition import whole_exposition

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def documented() -> set[tuple[str, frozenset[str]]]:
    """The metrics of docs/metrics.md, each with its labels."""
    page = PAGE.read_text()
    return {
        (name, frozenset(filter(None, labels.split(","))))
        for name, labels in re.findall(r"^\| `(\w+)(?:{([\w,]+)})?` \|", page, re.M)
    }


async def test_the_page_has_what_a_controller_exposes() -> None:
    """By the names that Prometheus stores; a histogram by its own."""
    families = text_string_to_metric_families((await whole_exposition()).decode())
    exposed = {
        (sample.name.removesuffix("_bucket"), frozenset(sample.labels) - {"le"})
        for family in families
        for sample in family.samples[:1]
    }
    assert documented() == exposed
