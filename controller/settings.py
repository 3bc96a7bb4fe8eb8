"""The settings of `serve`: read once, at the edge, each with its unit and its reason.

Plain settings come from the environment (`HALDANE_XDS_LISTEN`) or from the settings file that HALDANE_CONFIG names
(`xds_listen`); the environment takes precedence. Tables such as `[notify.NAME]` and `[hooks.NAME]` come from the file
only. The package that uses a table declares its fields (`notify/target.py`, `hooks/hook.py`). docs/settings.md lists
them all.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from controller.core.access.binding import Binding
from controller.core.access.fleet_rule import FleetRule
from controller.core.base.errors import Violation, invalid
from controller.core.base.value import NAME, Seconds
from controller.core.judge.channels import ALTERNATIVES_OF
from controller.hooks.hook import Hook
from controller.identity.oidc_settings import Issuers, Oidc, is_confidential
from controller.identity.tls_settings import Tls
from controller.notify.target import Target
from controller.process.fault_points import read_faults
from controller.process.host_name import LOOPBACK, default_name
from controller.process.http_client import Url
from controller.process.state_paths import MAX_SOCKET, default_socket, default_store
from controller.store.etcd.settings import Etcd, read_address
from controller.store.reserve import RESERVE
from controller.telemetry.custom_metric import CustomMetric
from controller.xds.limits import Limits

PREFIX = "HALDANE_"
FILE = "HALDANE_CONFIG"
"""The variable that names the settings file."""
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable for the address of a collector."""
MAX_FILE = 1_048_576
"""Bytes of the settings file."""


def _checked_address(text: str, info: ValidationInfo) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"HOST:PORT is needed, such as 127.0.0.1:18000, not {text!r}")
    if host.strip("[]") not in LOOPBACK and "tls" in info.data and "access" in info.data:
        _check_secured(host, str(info.field_name), info.data["tls"], info.data["access"])
    return text


def _check_secured(host: str, setting: str, tls: Tls | None, access: Sequence[Binding]) -> None:
    """Another address than loopback needs identities and rights: there is no open mode. Raises ValueError."""
    unsecured = f"{host} is not a loopback address: it needs"
    if tls is None:
        raise ValueError(f"{unsecured} [tls] in the settings file")
    if tls.client_ca_file is None and setting == "xds_listen":
        raise ValueError(f"{unsecured} [tls] with client_ca_file, since proxies are known by their certificates")
    if not access and setting != "xds_listen":
        raise ValueError(f"{unsecured} [[access]] in the settings file, which says who may do what")


def _checked_socket(text: str) -> str:
    if len(os.fsencode(text)) > MAX_SOCKET:
        raise ValueError(f"the path of a socket has at most {MAX_SOCKET} bytes; `none` is for no socket")
    return text


def _default_store() -> str:
    try:
        return default_store()
    except RuntimeError:  # a user id without a home, as in many containers
        raise invalid([Violation("store", "there is no home directory here: name a file, sqlite:PATH")]) from None


def _checked_store(text: str) -> str:
    kind, _, where = text.partition(":")
    if kind == "etcd":
        read_address(where)
    elif kind != "sqlite" or not where:
        raise ValueError(f"sqlite:PATH or etcd:HOST:PORT,HOST:PORT,... is needed, not {text!r}")
    return text


def _checked_workers(number: int, info: ValidationInfo) -> int:
    if number > 1 and info.data.get("store", "").startswith("etcd:"):
        raise ValueError(
            "several processes for one store in etcd are several controllers (docs/several-controllers.md): 1 is needed"
        )
    if number > 1 and info.data.get("xds_listen", "").endswith(":0"):
        raise ValueError("several processes share xds_listen, so that it needs a port, and not 0")
    return number


def _checked_faults(text: str | None, info: ValidationInfo) -> str | None:
    if text and not info.data.get("test_mode"):
        raise ValueError("kills and breaks the controller, for tests: refused unless HALDANE_TEST_MODE=1")
    read_faults(text or "")
    return text


def _checked_metrics(metrics: dict[str, CustomMetric], info: ValidationInfo) -> dict[str, CustomMetric]:
    if metrics and not info.data.get("prometheus"):
        raise ValueError("without `prometheus`, the address where they are read, there are no metrics")
    if taken := sorted(metrics.keys() & ALTERNATIVES_OF):
        raise ValueError(f"{taken[0]} is the name of a built-in channel of the judge: choose another one")
    return metrics


def _checked_dns(text: str) -> str:
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        host = ""
    if text and not (host and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(f"IP:PORT is needed, such as 10.0.0.53:53, not {text!r}")
    return text


def _checked_folder(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return path


def _checked_api(url: str) -> str:
    if not is_confidential(url):
        raise ValueError("https:// is needed: a token is sent there. http:// is for loopback")
    return url


TABLES: Mapping[str, type[BaseModel]] = {
    "notify": Target,
    "hooks": Hook,
    "metrics": CustomMetric,
    "xds_limits": Limits,
    "tls": Tls,
    "etcd": Etcd,
    "access": Binding,
    "proxies": FleetRule,
    "oidc": Oidc,
}
"""The settings that are tables of the file, and the fields of each."""
SINGLE = frozenset(("xds_limits", "tls", "etcd"))
"""The tables that exist once, such as `[xds_limits]`. The others have a name each."""
LISTS = frozenset(("access", "proxies", "oidc"))
"""The tables that are lists, such as `[[access]]`."""

Address = Annotated[str, AfterValidator(_checked_address)]
SocketPath = Annotated[str, AfterValidator(_checked_socket)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
"""The NAME of a table such as [notify.NAME]."""


class Settings(BaseSettings):
    """All of Haldane's settings. Frozen."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", enable_decoding=False)

    tls: Tls | None = None
    """What the doors are secured with."""
    access: Annotated[tuple[Binding, ...], Field(max_length=1000)] = ()
    """Who may do what. Without any, whoever reaches a door may do everything."""
    proxies: Annotated[tuple[FleetRule, ...], Field(max_length=1000)] = ()
    """Which proxies may be of which fleet. Without any, their SPIFFE IDs say it."""
    oidc: Issuers = ()
    """The OpenID Connect issuers whose tokens are accepted."""
    xds_listen: Address = "127.0.0.1:18000"
    """xDS, load reports, Envoy's metrics, health, reflection."""
    admin_listen: Address = "127.0.0.1:18001"
    """The admin API, CSDS, health, reflection."""
    http_listen: Address = "127.0.0.1:18002"
    """Console, /metrics, /healthz, /readyz, freeze and unfreeze."""
    name: Name = Field(default_factory=lambda data: default_name(data.get("xds_listen", "")))
    """The controller's name among those that share the store."""
    advertise: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?$", max_length=253)] = ""
    """The host under which the others that share the store reach this controller. Without it, the one where it listens,
    or where it listens at all addresses (`0.0.0.0`), the machine's name."""
    max_connection_age: Annotated[Seconds, Field(ge=10, le=86_400)] = 3600.0
    """Seconds that a TLS connection lives, more or less a tenth: for so long a revoked certificate goes on working.
    Streams are resumed on the next connection, and nothing is sent again."""
    store: Annotated[str, AfterValidator(_checked_store)] = Field(default_factory=_default_store)
    """Where state is stored: `sqlite:PATH`, on a local disk, or `etcd:HOST:PORT,HOST:PORT,...` (`?prefix=/haldane`),
    which several controllers share."""
    workers: Annotated[int, Field(ge=1, le=64), AfterValidator(_checked_workers)] = 1
    """How many processes serve proxies, the first included: the others follow it, at the same port. For more than one
    core with a store in a file."""
    etcd: Etcd = Etcd()
    """How etcd is reached."""
    store_reserve: Annotated[int, Field(ge=1024 * 1024, le=16 * 1024**3)] = RESERVE
    """Bytes of disk space set aside beside the store, so that rollbacks and freezes are stored on a full disk too. On a
    small disk it is half of what is free."""
    admin_socket: SocketPath = Field(default_factory=lambda data: default_socket(data.get("store", ""), "admin"))
    """The UNIX socket of the admin API, for this user and `socket_group`: the command line's default on this machine.
    `none` for no socket."""
    http_socket: SocketPath = Field(default_factory=lambda data: default_socket(data.get("store", ""), "http"))
    """The UNIX socket of the HTTP API. `none` for no socket."""
    socket_group: str = ""
    """The group that may connect to the sockets too."""
    ledger_export_files: Annotated[int, Field(ge=1)] | None = None
    """How many exports of the ledger are kept, the newest; each has 500 lines. Without it, all."""
    ledger_export_days: Annotated[float, Field(gt=0)] | None = None
    """For how many days an export of the ledger is kept. Without it, forever."""
    report_interval: Annotated[Seconds, Field(ge=0.1, le=2)] = 0.2
    """Seconds between an Envoy's load reports while a canary of one of its services has weight; otherwise 2 s. Each
    report repeats the 61 KB node: 305 KB/s with a canary, 31 KB/s at rest. A silent proxy is waited for for two
    intervals, and after 5 s without reports the judge is blind."""
    sync_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the connected proxies that must serve a step before the next one is taken."""
    max_services: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """The maximum number of services. With 1000 on one port a weight step takes 15 to 30 ms and 92 KB for each proxy,
    in proportion to their number."""
    max_freezes: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """The maximum number of freezes and holds at once: each is compared at every tick and every act. The first freeze
    of a service, or of all, always succeeds, and so does the first hold."""
    drain: Annotated[Seconds, Field(ge=0, le=60)] = 2.0
    """Seconds that open calls have to finish on SIGTERM."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    otlp_endpoint: Url | None = Field(default_factory=lambda: os.environ.get(OTLP) or None)
    """The collector that traces of decisions are sent to, by OTLP over HTTP, without a path: `http://127.0.0.1:4318`.
    Without it, what OTEL_EXPORTER_OTLP_ENDPOINT says; without both there are none."""
    test_mode: bool = False
    """Whether `fault_points` may be set. For tests only."""
    fault_points: Annotated[str | None, AfterValidator(_checked_faults)] = None
    """Where a test kills, breaks or delays the controller (`process/fault_points.py`); in test mode only."""
    notify: dict[Name, Target] = Field(default_factory=dict)
    """The targets of notifications."""
    hooks: dict[Name, Hook] = Field(default_factory=dict)
    """The hooks that are called before traffic moves."""
    prometheus: Url | None = None
    """The address where custom metrics are read; never taken from a service file."""
    prometheus_interval: Annotated[Seconds, Field(ge=1, le=30)] = 15.0
    """Seconds between two queries. A metric that is scraped less often returns the same value twice."""
    prometheus_timeout: Annotated[Seconds, Field(ge=0.1, le=20)] = 5.0
    """Seconds until a query must have returned."""
    metrics: Annotated[dict[Name, CustomMetric], AfterValidator(_checked_metrics)] = Field(default_factory=dict)
    """The custom metrics that policies may name."""
    apply_from: Annotated[Path, AfterValidator(_checked_folder)] | None = None
    """A folder of service files that are applied, and applied again when they change."""
    dns_server: Annotated[str, AfterValidator(_checked_dns)] = ""
    """IP:PORT of the DNS server that SRV records are asked of. Without it, those that the system names."""
    kubernetes_api: Annotated[Url, AfterValidator(_checked_api)] | None = None
    """The address of the API server of Kubernetes, where service files name Services. In a pod it is known."""
    kubernetes_token_file: Path | None = None
    """The file of the token for it. In a pod it is that of the service account. Read again for each request."""
    kubernetes_ca_file: Path | None = None
    """The file of the CAs of its certificate. In a pod it is the service account's, elsewhere without it the
    system's."""
    xds_limits: Limits = Limits()
    """The limits of the xDS port."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments of the call first, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_file(os.environ.get(FILE, "")))


def read_settings(**given: object) -> Settings:
    """The settings; those `given` by name take precedence over all others. `Refusal` names every mistake at once."""
    violations = list(_misspelt(os.environ))
    settings = None
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        details = error.errors(include_url=False)
        violations += [_violation(each, given) for each in details if each["type"] != "default_factory_not_called"]
    if settings is None or violations:
        raise invalid(violations)
    return settings


def _read_file(name: str) -> dict[str, Any]:
    """The settings file's content; empty if none is named."""
    if not name:
        return {}
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ValueError(f"it has more than {MAX_FILE} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise invalid([Violation(FILE, f"{path} cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise invalid([Violation(FILE, f"{path} is not TOML: {error}")]) from error


def _misspelt(environment: Mapping[str, str]) -> Iterator[Violation]:
    """Variables that look like settings. Others with the prefix are ignored: Kubernetes sets some of its own."""
    known = {name.upper() for name in Settings.model_fields}
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX)
        near = get_close_matches(name, known, 1, cutoff=0.8) if name != variable and name not in known else []
        if near:
            yield Violation(variable, f"is no setting; did you mean {PREFIX}{near[0]}?")


def _violation(detail: ErrorDetails, given: Mapping[str, object]) -> Violation:
    """A mistake that pydantic found, under the name that was written: a variable or a key of the file."""
    where = [str(part) for part in detail["loc"] if part != "[key]"]
    variable = f"{PREFIX}{where[0].upper()}"
    message = _describe(detail, where)
    if variable not in os.environ or where[0] in given:
        return Violation(".".join(where), message)
    if where[0] in TABLES:
        message = f"belongs into the settings file, as {_table(where[0])}; {FILE} names that file"
    return Violation(variable, message)


def _table(name: str) -> str:
    return f"{'table' if name in SINGLE else 'tables'} {heading(name)}"


def heading(table: str) -> str:
    """How a table is written in the settings file."""
    if table in LISTS:
        return f"[[{table}]]"
    return f"[{table}]" if table in SINGLE else f"[{table}.NAME]"


def _describe(detail: ErrorDetails, where: list[str]) -> str:
    match detail["type"]:
        case "missing":
            return "is missing"
        case "string_pattern_mismatch":
            return "a name has 1 to 63 of a-z, 0-9, '.', '_' and '-' and begins with a letter or digit"
        case "extra_forbidden":
            known = TABLES.get(where[0], Settings).model_fields
            near = get_close_matches(where[-1][:64], known, 1)
            return f"is no setting; {f'did you mean {near[0]}?' if near else 'docs/settings.md lists them'}"
        case _:
            return detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
