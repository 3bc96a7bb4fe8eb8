"""The settings: read once, at the edge, from the environment (`HALDANE_...`). Each with its unit and its reason."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def state_directory() -> Path:
    """Where state lives by default: $XDG_STATE_HOME/haldane, or ~/.local/state/haldane."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "haldane"


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"HOST:PORT is needed, such as 127.0.0.1:18000, not {text!r}")
    if host.strip("[]") not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError(f"{host} is not a loopback address: every door binds to loopback until TLS is configured")
    return text


LoopbackAddress = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """All of Haldane's settings. Frozen; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_prefix="HALDANE_", frozen=True, extra="ignore")

    xds_listen: LoopbackAddress = "127.0.0.1:18000"
    """xDS, load reports, Envoy's metrics, health, reflection."""
    admin_listen: LoopbackAddress = "127.0.0.1:18001"
    """The admin API, CSDS, health, reflection."""
    http_listen: LoopbackAddress = "127.0.0.1:18002"
    """Console, /metrics, /healthz, /readyz, freeze and unfreeze."""
    store: str = Field(default_factory=lambda: f"sqlite:{state_directory() / 'haldane.db'}")
    """`sqlite:PATH` or `etcd:HOST:PORT,...`."""
    report_interval: Annotated[float, Field(ge=0.1, le=60)] = 0.5
    """Seconds between an Envoy's load reports. Each report repeats the 61 KB node; half a second costs 122 KB/s."""
    sync_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the connected proxies that must serve a step before the next one is taken."""
    drain: Annotated[float, Field(ge=0, le=60)] = 2.0
    """Seconds that open calls get to end on SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
