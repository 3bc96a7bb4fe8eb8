"""The files of Envoys that were there before, with what Haldane's snippet adds to them."""

import re
from pathlib import Path
from typing import Any

import yaml

from controller.bootstrap import configuration
from controller.bootstrap.rds_only import render
from tests.support.process import free_port
from tests.support.system import FLEET

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def merged(mine: Any, added: Any) -> Any:
    """A file with a snippet merged into it, as the snippet's head says: mappings key by key, lists one after the other;
    of two single values the file's stays."""
    if isinstance(mine, dict) and isinstance(added, dict):
        both = mine.keys() & added.keys()
        return {**added, **mine, **{key: merged(mine[key], added[key]) for key in both}}
    return mine + added if isinstance(mine, list) else mine


def snippet(bootstrap: str, protocol: str) -> dict[str, Any]:
    """What is printed for that controller, as a tree."""
    port = re.findall(r"port_value: (\d+)", bootstrap)[-1]
    text = render(whole(port, protocol))
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def whole(port: str, protocol: str) -> dict[str, Any]:
    """The bootstrap of that controller, as a tree."""
    return configuration(fleet=FLEET, xds=f"127.0.0.1:{port}", protocol=protocol)  # type: ignore[arg-type]


def minimal(bootstrap: str, protocol: str, entry: int) -> str:
    """The file of an Envoy with nothing but an admin page, and the example of a listener in the snippet."""
    added = snippet(bootstrap, protocol)
    added["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = entry
    return yaml.dump(merged(with_admin({}), added))


def with_filters(bootstrap: str, protocol: str, entry: int) -> str:
    """The example of the documentation, and of the snippet everything but its example of a listener."""
    added = snippet(bootstrap, protocol)
    del added["static_resources"]["listeners"][0]
    mine = yaml.safe_load((EXAMPLES / "own-envoy.yaml").read_text())
    mine["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = entry
    return yaml.dump(merged(with_admin(mine), added))


def with_clusters(bootstrap: str, protocol: str, entry: int, ports: dict[str, int], *, cds: bool = False) -> str:
    """The file of an Envoy that has a cluster for each version, and no clusters by CDS unless it is to have both."""
    port = re.findall(r"port_value: (\d+)", bootstrap)[-1]
    names = [f"model-{version}" for version in ports]
    text = render(whole(port, protocol), own_clusters=names)
    added = yaml.safe_load(text)
    if not cds:
        del added["dynamic_resources"]["cds_config"]
    added["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = entry
    mine = {"static_resources": {"clusters": [cluster(f"model-{v}", at) for v, at in ports.items()]}}
    return yaml.dump(merged(with_admin(mine), added))


def cluster(name: str, port: int) -> dict[str, Any]:
    """A cluster of the file, with one endpoint."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def with_admin(mine: dict[str, Any]) -> dict[str, Any]:
    """That file with an admin page on a free port."""
    return mine | {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free_port()}}}}
