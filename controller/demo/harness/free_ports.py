"""Free ports of 127.0.0.1."""

import math
import random
import socket
from collections.abc import Iterator
from itertools import islice

PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of those takes one before
it is bound."""


def free_ports(count: int, among: range = PORTS) -> list[int]:
    """That many ports of 127.0.0.1 on which nothing listens now.

    Raises `OSError` if there are fewer.
    """
    found = list(islice(iterate_free_ports(among), count))
    if len(found) < count:
        raise OSError(f"fewer than {count} free ports between {among.start} and {among.stop}")
    return found


def iterate_free_ports(among: range = PORTS) -> Iterator[int]:
    """Each of these ports at most once, if nothing listens there when it is its turn."""
    # From the system's randomness: processes with the same seed must not pick the same ports.
    dice, count = random.SystemRandom(), len(among)
    start = step = dice.randrange(1, count + 1)
    while math.gcd(step, count) > 1:  # else the steps come back to the start before all are visited
        step = dice.randrange(1, count + 1)
    visited = (among[(start + number * step) % count] for number in range(count))
    return filter(_is_free, visited)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
