"""Where the wanted metrics stand in a flush: whatever changes from one to the next, the same are found."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.pb.haldane.wire.v1 import metrics_pb2 as wire
from controller.telemetry.family_positions import MAX_REUSES, FamilyPositions

WANTED = {f"cluster.s/v{n}.upstream_rq_time": n for n in range(3)}
OTHERS = [f"cluster.s/v{n}.upstream_cx_total" for n in range(3)]
LONG = "cluster." + "x" * 200
"""Its length takes two bytes."""


class Versions:
    """Wants the latency of each version, and remembers which names it was asked for."""

    def __init__(self, wanted: Mapping[str, int] = WANTED) -> None:
        self._wanted = wanted
        self.asked: list[bytes] = []

    def meaning_of(self, name: bytes) -> int | None:
        """The number of the version."""
        self.asked.append(name)
        return self._wanted.get(name.decode())


VERSIONS = Versions()


def flush(names: Sequence[str], value: float = 1.0) -> list[bytes]:
    """The serialised families of these names."""
    metric = wire.Metric(counter=wire.Counter(value=value))
    return [wire.MetricFamily(name=name, metric=[metric]).SerializeToString() for name in names]


def found(positions: FamilyPositions[int], families: Sequence[bytes]) -> list[tuple[int, str]]:
    """The meanings that are found, with the names of their families."""
    return [(m, wire.MetricFamily.FromString(family).name) for m, family in positions.find(families, VERSIONS)]


def expected(names: Sequence[str]) -> list[tuple[int, str]]:
    """The same, by the names."""
    return [(WANTED[name], name) for name in names if name in WANTED]


NAMES = st.permutations([*WANTED, *OTHERS, LONG]).flatmap(lambda names: st.integers(0, 7).map(lambda n: names[n:]))


@given(st.lists(NAMES, max_size=6))
def test_a_flush_is_read_as_if_it_were_the_first(flushes: list[list[str]]) -> None:
    """Flushes of different lengths, in any order."""
    positions: FamilyPositions[int] = FamilyPositions()
    lengths = []
    for names in flushes:
        got = found(positions, flush(names))
        if len(names) not in lengths[-1:]:  # of the same length it may take the old places for the new ones
            assert got == expected(names)
        lengths.append(len(names))


def test_the_same_places_are_not_searched_again() -> None:
    """The names are read once; after that the wanted ones are compared where they were."""
    wanted = Versions()
    positions: FamilyPositions[int] = FamilyPositions()
    names = [*OTHERS, *WANTED]
    for value in (1.0, 2.0, 3.0):
        values = [
            wire.MetricFamily.FromString(family).metric[0].counter.value
            for _, family in positions.find(flush(names, value), wanted)
        ]
        assert values == [value] * len(WANTED)
    assert len(wanted.asked) == len(names)


@pytest.mark.parametrize("change", ["moved", "replaced", "one more", "one less"])
def test_a_wanted_family_that_moves_is_found(change: str) -> None:
    """Its place has another name, or the flush another length: everything is read again."""
    before = [*OTHERS, *WANTED]
    after = {
        "moved": [*WANTED, *OTHERS],
        "replaced": [*OTHERS, *list(WANTED)[:2], LONG],
        "one more": [LONG, *before],
        "one less": before[1:],
    }[change]
    positions: FamilyPositions[int] = FamilyPositions()
    assert found(positions, flush(before)) == expected(before)
    assert found(positions, flush(after)) == expected(after)


def test_one_that_appears_just_as_another_goes_is_found_soon() -> None:
    """The wanted ones are where they were and there are as many families as before."""
    positions: FamilyPositions[int] = FamilyPositions()
    first, *rest = WANTED
    found(positions, flush([first, *OTHERS]))
    for _ in range(MAX_REUSES + 1):
        got = found(positions, flush([first, *rest, OTHERS[0]]))
    assert got == expected([first, *rest])


def test_other_meanings_are_searched_for() -> None:
    """As when another service is observed."""
    positions: FamilyPositions[int] = FamilyPositions()
    families = flush([*OTHERS, *WANTED])
    found(positions, families)
    others = positions.find(families, Versions({OTHERS[1]: 7}))
    assert [meaning for meaning, _ in others] == [7]
