"""The newest state on this machine's disk: what a replica serves that starts while etcd is away."""

import json
import os
from base64 import b64decode, b64encode
from pathlib import Path

import structlog

from controller.core.model.ledger_line import ChainEnd
from controller.core.model.view import View
from controller.store.durable_files import sync_file
from controller.store.etcd.replicated_state import ReplicatedState, with_records
from controller.store.ledger_replay import StateRecord
from controller.store.records import canonical, digest, read, write

log = structlog.get_logger()


def save(path: Path, state: ReplicatedState) -> None:
    """Replace the copy as one: after a crash it is the old one or the new one. OSError if the disk refuses."""
    view = state.view
    record = StateRecord(
        revision=view.revision,
        services=tuple(view.services.values()),
        freezes=view.freezes,
        exclusions=view.exclusions,
    )
    body = {
        "store": view.store_id,
        "state": write(record),
        "sequence": state.end.sequence,
        "hash": state.end.hash,
        "head_mod": state.head_mod,
        "head": b64encode(state.head_value).decode(),
        "unreadable": {name: b64encode(record).decode() for name, record in state.unreadable.items()},
    }
    text = canonical(body)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(f"{digest(text)}\n{text}\n", encoding="ascii")
    partial.chmod(0o600)
    sync_file(partial)
    partial.rename(path)


def load(path: Path) -> ReplicatedState | None:
    """The copy; None if there is none, or it is not whole."""
    try:
        found, _, text = path.read_text(encoding="ascii").rstrip("\n").partition("\n")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.error("last_known_unreadable", path=str(path), reason=str(error))
        return None
    if found != digest(text):
        log.error("last_known_unreadable", path=str(path), reason="its digest is not that of its content")
        return None
    body = json.loads(text)
    record = read(StateRecord, body["state"])
    services = {state.name: state for state in record.services}
    view = View(body["store"], record.revision, services, record.freezes, exclusions=record.exclusions)
    head = b64decode(body.get("head", ""))
    state = ReplicatedState(view, ChainEnd(body["sequence"], body["hash"]), body["head_mod"], head_value=head)
    unreadable = {name: b64decode(value) for name, value in body.get("unreadable", {}).items()}
    return with_records(state, unreadable)
