"""The metric of when certificates expire, read at each scrape."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class CertificateExpiry(Collector):
    """A series for each certificate in use."""

    def __init__(self, expiries: Callable[[], Mapping[str, float]]) -> None:
        """`expiries` reads when each expires, in Unix seconds."""
        self._expiries = expiries

    def collect(self) -> Iterable[Metric]:
        """One family; without series where there is no TLS."""
        name, text = "haldane_certificate_expiry_timestamp_seconds", "When a certificate of [tls] expires, Unix time"
        family = GaugeMetricFamily(name, text, labels=["certificate"])
        for certificate, expires_at in self._expiries().items():
            family.add_metric([certificate], expires_at)
        yield family
