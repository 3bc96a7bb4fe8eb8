"""The operator's acts, without a door."""

import pytest

from controller.core.errors import Code, Refusal
from controller.operations import Operations
from controller.store.memory import MemoryStore
from tests.admin.doors import FILE
from tests.store.values import ToldClock


async def test_no_more_services_than_the_setting_allows_are_declared() -> None:
    """At the limit all is well, and what is there can be changed; one more is refused, and a delete makes room."""
    clock = ToldClock()
    operations = Operations(MemoryStore(clock=clock), clock, most_services=2)
    for name, port in (("a", 10000), ("b", 10001), ("b", 10002)):
        await operations.apply(FILE.format(name=name, port=port), who="ada")
    with pytest.raises(Refusal, match="max_services") as refused:
        await operations.apply(FILE.format(name="c", port=10003), who="ada")
    assert refused.value.code is Code.TOO_MANY
    await operations.delete("a", who="ada", reason="gone")
    await operations.apply(FILE.format(name="c", port=10003), who="ada")
