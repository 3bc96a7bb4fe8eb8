"""Envoy's own fields in a service file: what Haldane has no key for."""

from enum import StrEnum

from controller.core.base.value import Value


class EnvoyMessage(StrEnum):
    """The messages of Envoy's that a service file can add fields to, by their keys in it."""

    CLUSTER = "cluster"
    ROUTE = "route"
    HTTP_CONNECTION_MANAGER = "http_connection_manager"


class EnvoyFields(Value):
    """Fields that are added to those of Haldane, as JSON with sorted keys; empty for none. Those of a connection
    manager are the listener's: `Listen` has them."""

    cluster: str = ""
    route: str = ""
