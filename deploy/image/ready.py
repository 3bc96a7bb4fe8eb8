"""Whether the controller of this container is ready: exit code 0 if GET /readyz is answered with 200, else 1.

It asks at the controller's UNIX socket, which is there whatever the ports are secured with.
"""

import http.client
import os
import socket
import sys

from controller.process.state_paths import default_socket, default_store

WITHIN = 4.0
"""Seconds to answer."""


class LocalConnection(http.client.HTTPConnection):
    """HTTP through a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=WITHIN)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def main() -> int:
    """Print what /readyz says; the exit code."""
    store = os.environ.get("HALDANE_STORE") or default_store()
    connection = LocalConnection(os.environ.get("HALDANE_HTTP_SOCKET") or default_socket(store, "http"))
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        print(response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    return 0 if response.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
