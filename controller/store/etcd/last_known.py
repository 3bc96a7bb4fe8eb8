"""The newest state on this machine's disk: what a replica serves that starts while etcd is away.

A digested file of lines: the head, then one for each record.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from controller.core.model.ledger_line import ChainEnd
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.process.digested_file import NotWhole, read_digested, write_digested
from controller.store.etcd.replicated_state import ReplicatedState, with_records
from controller.store.records import Unreadable, canonical, read_exclusion, read_freeze, read_state, write

log = structlog.get_logger()


class LastKnown:
    """The copy at a path. What has not changed since it was saved last is not encoded again: with a thousand services
    that would hold up everything else for a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoded: dict[str, tuple[ServiceState, bytes]] = {}

    def save(self, state: ReplicatedState) -> None:
        """Replace the copy as one: after a crash it is the old one or the new one. OSError if the disk refuses."""
        body = b"".join(self._lines(state))
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_digested(self._path, body)

    def _lines(self, state: ReplicatedState) -> Iterator[bytes]:
        view = state.view
        yield _line(
            "head",
            store=view.store_id,
            revision=view.revision,
            sequence=state.end.sequence,
            hash=state.end.hash,
            head_mod=state.head_mod,
            head=b64encode(state.head_value).decode(),
            schema=state.schema,
        )
        before, self._encoded = self._encoded, {}
        for name, service in view.services.items():
            same, line = before.get(name, (None, b""))
            if same is not service:
                line = _line("service", name=name, record=write(service))
            self._encoded[name] = service, line
            yield line
        for freeze in view.freezes:
            yield _line("freeze", name=freeze.scope, record=write(freeze))
        for exclusion in view.exclusions:
            yield _line("exclusion", name=exclusion.node, record=write(exclusion))
        for name, record in state.unreadable.items():
            yield _line("unreadable", name=name, record=b64encode(record).decode())


def load(path: Path) -> ReplicatedState | None:
    """The copy; None if there is none, or it is not whole."""
    try:
        body = read_digested(path)
    except FileNotFoundError:
        return None
    except (OSError, NotWhole) as error:
        _unusable(path, str(error))
        return None
    try:
        return _state(json.loads(line) for line in body.splitlines())
    except (Unreadable, ValueError, KeyError) as error:
        _unusable(path, str(error))
        return None


def _state(lines: Iterable[dict[str, str]]) -> ReplicatedState:
    head: dict[str, str] = {}
    records: dict[str, list[tuple[str, str]]] = {"service": [], "freeze": [], "exclusion": [], "unreadable": []}
    for line in lines:
        if line["kind"] == "head":
            head = line
        else:
            records[line["kind"]].append((line["name"], line["record"]))
    view = View(
        head["store"],
        int(head["revision"]),
        {name: read_state(name, record) for name, record in records["service"]},
        tuple(read_freeze(scope, record) for scope, record in records["freeze"]),
        exclusions=tuple(read_exclusion(node, record) for node, record in records["exclusion"]),
    )
    end = ChainEnd(int(head["sequence"]), head["hash"])
    state = ReplicatedState(view, end, int(head["head_mod"]), int(head["schema"]), b64decode(head["head"]))
    return with_records(state, {name: b64decode(record) for name, record in records["unreadable"]})


def _line(kind: str, **fields: object) -> bytes:
    return canonical({"kind": kind, **fields}).encode() + b"\n"


def _unusable(path: Path, why: str) -> None:
    log.error("last_known_unreadable", path=str(path), reason=why)
