"""What every part of a controller is made from."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from controller.assembly.open_store import last_known_path
from controller.core.routing.own_addresses import OwnAddress, own_addresses
from controller.core.traffic.book import Book
from controller.monitoring.metrics import Metrics
from controller.ports.decision_tracer import DecisionTracer
from controller.ports.endpoint_sources import LastKnownEndpoints
from controller.ports.store import Backend
from controller.process.clock import SystemClock
from controller.runtime.replica import Replica
from controller.runtime.sourced_endpoints import SourcedEndpoints
from controller.settings import Settings
from controller.sources.kubernetes_api import ApiServer
from controller.sources.last_known_endpoints import LastKnownFile
from controller.sources.source_watches import SourceWatches

LISTENS = ("xds_listen", "admin_listen", "http_listen")
"""The settings that name the controller's own addresses."""


@dataclass(frozen=True, slots=True)
class Base:
    """The settings, what of the world all parts share, and what this controller knows."""

    settings: Settings
    store: Backend
    clock: SystemClock
    tracer: DecisionTracer
    metrics: Metrics
    book: Book
    """Of the proxies that are connected to this controller."""
    kubernetes: ApiServer | None
    """The API server that endpoints are read from, if there is one."""
    sources: SourcedEndpoints
    last_known: LastKnownEndpoints
    """Where what is read of the sources is kept for the next run."""
    replica: Replica

    @property
    def own_addresses(self) -> tuple[OwnAddress, ...]:
        """Where this controller listens: no service may."""
        return own_addresses({name: getattr(self.settings, name) for name in LISTENS})


def make_base(
    settings: Settings,
    store: Backend,
    clock: SystemClock,
    tracer: DecisionTracer,
    on_endpoints: Callable[[Collection[str], bool], None],
) -> Base:
    """`on_endpoints` is called with the services of whose sources something else is known, and whether that is other
    endpoints. `Refusal` that names the setting if the API server of Kubernetes cannot be used."""
    book = Book()
    kubernetes = ApiServer.of(
        settings.kubernetes_api, settings.kubernetes_token_file, settings.kubernetes_ca_file, os.environ
    )
    last_known = LastKnownFile(last_known_path(settings))
    watches = SourceWatches(kubernetes, settings.dns_server)
    sources = SourcedEndpoints(watches, clock, on_endpoints, last_known.load())
    return Base(
        settings=settings,
        store=store,
        clock=clock,
        tracer=tracer,
        metrics=Metrics(),
        book=book,
        kubernetes=kubernetes,
        sources=sources,
        last_known=last_known,
        replica=Replica(book, clock, sources),
    )
