"""The bootstrap of a proxyless gRPC client: JSON, for the file that GRPC_XDS_BOOTSTRAP names (gRFC A27, A65, A71)."""

from typing import Any

from controller.bootstrap.addresses import read_addresses
from controller.bootstrap.identity import node_of
from controller.bootstrap.proxy_tls import ProxyTls

REFRESH = "60s"
"""How often gRPC looks for replaced certificates; its default is 600 s."""


def configuration(*, fleet: str, node: str | None = None, xds: str, tls: ProxyTls | None = None) -> dict[str, Any]:
    """The arguments are those of `bootstrap.configuration`. gRPC connects to the first of several controllers that it
    reaches, and compares the host of its address with the controller's certificate. Raises ValueError, which names the
    invalid option."""
    read_addresses("--xds", xds)
    made: dict[str, Any] = {
        "xds_servers": [
            {"server_uri": address, "channel_creds": [_credentials(tls)], "server_features": ["xds_v3"]}
            for address in xds.split(",")
        ],
        "node": node_of(fleet, node),
    }
    if tls:
        made["certificate_providers"] = {"default": {"plugin_name": "file_watcher", "config": _files(tls)}}
    return made


def _credentials(tls: ProxyTls | None) -> dict[str, Any]:
    return {"type": "tls", "config": _files(tls)} if tls else {"type": "insecure"}


def _files(tls: ProxyTls) -> dict[str, str]:
    return {
        "certificate_file": tls.path("tls.crt"),
        "private_key_file": tls.path("tls.key"),
        "ca_certificate_file": tls.path("ca.crt"),
        "refresh_interval": REFRESH,
    }
