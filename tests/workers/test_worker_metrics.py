"""The metrics of workers beside those of the first process."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from controller.workers.worker_metrics import joined, read_families, write_families


def registry(proxies: float, *, more: bool = False) -> CollectorRegistry:
    """What a process counts."""
    made = CollectorRegistry()
    Gauge("haldane_proxies", "Connected proxies", ["fleet"], registry=made).labels("edge").set(proxies)
    Histogram("haldane_took_seconds", "How long", buckets=(1.0,), registry=made).observe(0.5)
    if more:
        Counter("haldane_relayed", "Only of a worker", registry=made).inc(3)
    return made


def test_each_family_is_there_once_with_the_samples_of_all() -> None:
    """A text with two blocks of one family would be refused; a sum over all is that of the fleet."""
    workers = [read_families(write_families(registry(n, more=True)), n) for n in (2, 3)]
    lines = generate_latest(joined(registry(7), workers)).decode().splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    proxies = [line for line in lines if line.startswith("haldane_proxies{")]
    assert proxies == [
        'haldane_proxies{fleet="edge"} 7.0',
        'haldane_proxies{fleet="edge",worker="2"} 2.0',
        'haldane_proxies{fleet="edge",worker="3"} 3.0',
    ]
    assert 'haldane_took_seconds_bucket{le="1.0",worker="3"} 1.0' in lines
    assert 'haldane_relayed_total{worker="2"} 3.0' in lines


def test_what_is_no_number_arrives() -> None:
    """NaN and infinity are values of metrics."""
    made = CollectorRegistry()
    Gauge("a", "", registry=made).set(math.nan)
    Gauge("b", "", registry=made).set(math.inf)
    a, b = read_families(write_families(made), 2)
    assert math.isnan(a.samples[0].value)
    assert b.samples[0].value == math.inf


@pytest.mark.parametrize("data", [b"{", b"[1]", b'[["a", "b", "gauge", "", [1]]]'])
def test_what_cannot_be_read_is_an_error(data: bytes) -> None:
    """Of whatever kind."""
    with pytest.raises(ValueError):  # noqa: PT011
        read_families(data, 2)
