"""Free ports of 127.0.0.1."""

import contextlib
import random
import socket

PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of those takes one before
it is bound."""


def free_ports(count: int, among: range = PORTS) -> list[int]:
    """That many ports of 127.0.0.1 on which nothing listens now.

    Raises `OSError` if there are fewer.
    """
    free: list[int] = []
    # From the system's randomness: processes with the same seed must not pick the same ports.
    for port in random.SystemRandom().sample(among, k=len(among)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                free.append(port)
        if len(free) == count:
            return free
    raise OSError(f"fewer than {count} free ports between {among.start} and {among.stop}")
