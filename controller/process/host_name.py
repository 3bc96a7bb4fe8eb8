"""What a controller is called unless a name is set: after its machine, and its port if that is not the usual one."""

import re
import socket

USUAL_PORT = "18000"
MAX_NAME = 63


def default_name(xds_listen: str) -> str:
    """The name of a controller at that HOST:PORT; several on one machine have names of their own."""
    host = re.sub(r"[^a-z0-9_.-]", "-", socket.gethostname().lower()).lstrip("_.-") or "controller"
    port = xds_listen.rpartition(":")[2]
    suffix = "" if port in ("", USUAL_PORT) else f"-{port}"
    return host[: MAX_NAME - len(suffix)] + suffix
