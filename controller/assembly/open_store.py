"""Opening the store that the settings name."""

from pathlib import Path

from controller.core.base.errors import Refusal
from controller.core.model.store_errors import Unusable
from controller.ports.store import Backend
from controller.process.clock import SystemClock
from controller.process.servers import Unstartable
from controller.process.state_paths import state_directory
from controller.settings import Settings
from controller.store.etcd.settings import Address, read_address
from controller.store.ledger_retention import Retention
from controller.store.sqlite import SqliteStore


async def open_store(settings: Settings, clock: SystemClock, *, init: bool = False) -> Backend:
    """The store that the settings name. One in a file is made where none ever was, or by `init`. Raises
    `Unstartable`."""
    kind, _, where = settings.store.partition(":")
    if kind == "etcd":
        return await _open_etcd(settings, where, clock, init=init)
    return _open_file(settings, where, clock, init=init)


def last_known_path(settings: Settings) -> Path:
    """Where the endpoints of sources are kept for the next run: beside the store's file, or with its last known copy.
    `Refusal` if the store is named wrongly, RuntimeError without a home directory."""
    kind, _, where = settings.store.partition(":")
    if kind == "etcd":
        return _etcd_folder(read_address(where)) / "endpoints"
    path = Path(where).expanduser()
    return path.with_name(f"{path.name}.endpoints")


def _etcd_folder(address: Address) -> Path:
    return state_directory() / f"etcd{address.prefix.replace('/', '-')}"


async def _open_etcd(settings: Settings, where: str, clock: SystemClock, *, init: bool) -> Backend:
    from controller.store.etcd.etcd_store import EtcdStore, Limits  # most controllers have their store in a file

    address = read_address(where)
    folder = _etcd_folder(address)
    try:
        client = settings.etcd.client(address)
        retention = Retention(settings.ledger_export_files, settings.ledger_export_days)
        limits = Limits(ttl=round(settings.etcd.ttl), retention=retention)
        return await EtcdStore.open(client, address.prefix, clock=clock, folder=folder, limits=limits, init=init)
    except Unusable as unusable:
        raise Unstartable(str(unusable)) from unusable
    except Refusal as refusal:
        raise Unstartable(refusal.message) from refusal


def _open_file(settings: Settings, where: str, clock: SystemClock, *, init: bool) -> Backend:
    path = Path(where).expanduser()
    try:
        if "store" not in settings.model_fields_set:  # no one named a folder that a volume could be missing from
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = SqliteStore.open(path, clock=clock, reserve=settings.store_reserve, init=init)
    except OSError as error:
        raise Unstartable(f"the state file's folder cannot be made: {error}") from error
    except Unusable as unusable:  # which names the file
        raise Unstartable(f"the state file {unusable}") from unusable
    store.shared = settings.workers > 1
    store.keep_exports(Retention(settings.ledger_export_files, settings.ledger_export_days))
    return store
