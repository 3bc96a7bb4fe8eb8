"""What a controller is called, and where others reach it, unless the settings say so: after its machine."""

import re
import socket

USUAL_PORT = "18000"
MAX_NAME = 63
LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "[::]", "::")  # noqa: S104  # to recognize them
"""What stands for all addresses of a machine, and is none that others could connect to."""


def default_name(xds_listen: str) -> str:
    """The name of a controller at that HOST:PORT; several on one machine have names of their own."""
    host = re.sub(r"[^a-z0-9_.-]", "-", socket.gethostname().lower()).lstrip("_.-") or "controller"
    port = xds_listen.rpartition(":")[2]
    suffix = "" if port in ("", USUAL_PORT) else f"-{port}"
    return host[: MAX_NAME - len(suffix)] + suffix


def advertised(listen: str, host: str) -> str:
    """Where others reach what listens at that HOST:PORT. `host` is this machine, as they know it; where it is empty,
    the address itself, or for all addresses of the machine its name. An address of loopback stays one."""
    own, _, port = listen.rpartition(":")
    if own.strip("[]") in LOOPBACK:
        return listen
    if host:
        return f"{host}:{port}"
    return f"{socket.gethostname()}:{port}" if own in EVERYWHERE else listen
