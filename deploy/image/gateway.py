"""An Envoy in a container: render its bootstrap, then become it. Or drain the one that runs.

`gateway.py [OPTIONS OF haldane bootstrap] [-- OPTIONS OF envoy]`: HALDANE_GATEWAY_DIR (default: /tmp) is where the
bootstrap and the SDS files are written.

`gateway.py drain SECONDS`: for a preStop hook. The Envoy fails its health checks, asks its clients to go elsewhere and
closes their connections one by one; after that time the hook returns, and Envoy gets its SIGTERM.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
FOLDER = "HALDANE_GATEWAY_DIR"
ADMIN = "http://127.0.0.1:9901"
"""Envoy's own admin page: it is for this container alone."""


def main(words: Sequence[str]) -> int:
    """The exit code, unless it becomes Envoy."""
    if words[:1] == ["drain"]:
        return drain(words[1:])
    cut = words.index("--") if "--" in words else len(words)
    folder = Path(os.environ.get(FOLDER, "/tmp"))  # noqa: S108  (a tmpfs of the container's own)
    return run(folder, words[:cut], words[cut + 1 :])


def run(folder: Path, options: Sequence[str], envoy: Sequence[str]) -> int:
    """Become the Envoy of `haldane bootstrap` with these options. Its exit code if there is no bootstrap."""
    if "--tls" in options:
        options = [*options, "--sds", str(folder), "--write-sds", str(folder)]
    command = [str(BIN / "haldane"), "bootstrap", *options]
    rendered = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603  (this container's own words)
    if rendered.returncode:
        return rendered.returncode
    bootstrap = folder / "envoy.yaml"
    bootstrap.write_bytes(rendered.stdout)
    program = str(BIN / "envoy")
    # One Envoy in this container: without hot restart it needs no shared memory.
    return os.execv(program, [program, "-c", str(bootstrap), "--disable-hot-restart", *envoy])  # noqa: S606


def drain(words: Sequence[str]) -> int:
    """Let the clients go, and return after so many seconds."""
    if len(words) != 1 or not words[0].isdecimal():
        print("drain SECONDS: a whole number is needed", file=sys.stderr)
        return 2
    for page in ("healthcheck/fail", "drain_listeners?graceful&skip_exit"):
        request = urllib.request.Request(f"{ADMIN}/{page}", method="POST")  # noqa: S310  (HTTP, to loopback)
        try:
            urllib.request.urlopen(request, timeout=2).close()  # noqa: S310
        except (OSError, urllib.error.URLError) as error:
            print(f"{page}: {error}", file=sys.stderr)
    time.sleep(int(words[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
