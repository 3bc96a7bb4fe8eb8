"""The metrics of workers, shown by the first process beside its own: the same families, labelled `worker`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

LABEL = "worker"
"""The label that tells a worker's samples from the first process's own, which have none."""


def write_families(registry: CollectorRegistry) -> bytes:
    """Every family of the registry, in JSON."""
    return json.dumps([_plain(family) for family in registry.collect()]).encode()


def read_families(data: bytes, worker: int) -> list[Metric]:
    """The families in `data`, with that worker's label. ValueError if they cannot be read."""
    families: list[Metric] = []
    try:
        for name, documentation, kind, unit, samples in json.loads(data):
            family = Metric(name, documentation, kind, unit)
            for sample, labels, value in samples:
                family.add_sample(sample, {LABEL: str(worker), **labels}, value)
            families.append(family)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"no families of metrics: {error}") from error
    return families


def joined(own: CollectorRegistry, workers: Iterable[Sequence[Metric]]) -> CollectorRegistry:
    """A registry with the families of `own` and those of the workers, each family once."""
    registry = CollectorRegistry()
    registry.register(_Joined(own, workers))
    return registry


class _Joined(Collector):
    """Collects when it is read, in whichever thread that is."""

    def __init__(self, own: CollectorRegistry, workers: Iterable[Sequence[Metric]]) -> None:
        self._own = own
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Each family once: a text with two blocks of one name would be refused."""
        theirs: dict[str, Metric] = {}
        for family in (each for families in self._workers for each in families):
            if known := theirs.get(family.name):
                known.samples += family.samples
            else:
                theirs[family.name] = family
        for own in self._own.collect():
            yield _with_samples(own, theirs.pop(own.name, None))
        yield from theirs.values()


def _with_samples(own: Metric, theirs: Metric | None) -> Metric:
    if theirs is None:
        return own
    family = Metric(own.name, own.documentation, own.type, own.unit)
    family.samples = [*own.samples, *theirs.samples]
    return family


def _plain(family: Metric) -> Sequence[Any]:
    samples: list[tuple[str, Mapping[str, str], float]] = [(s.name, s.labels, s.value) for s in family.samples]
    return family.name, family.documentation, family.type, family.unit, samples
