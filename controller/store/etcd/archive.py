"""What may be lost without harm, in etcd: sessions, recordings and cursors. Written by whoever decides."""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import structlog

from controller.core.model.store_errors import NotWritten, StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.archive import KEPT_RECORDINGS, MAX_RECORDING, MAX_SESSION, SavedSession
from controller.store.etcd.client import EtcdClient, prefix_end
from controller.store.etcd.keys import Keys, as_text, packed, unpacked
from controller.store.etcd.transaction import deletion, leads, put, serves

TOGETHER = 1_000_000
"""Bytes of sessions that are stored in one transaction, and the largest one. etcd takes 1.5 MiB."""
AT_ONCE = 100
"""Operations of one transaction. etcd takes 128."""

log = structlog.get_logger()


class Saved(NamedTuple):
    """A session as it is stored."""

    service: str
    value: bytes


class EtcdArchive:
    """Each write compares, in its transaction, whether the term of this replica goes on: what a former leader writes
    late takes no place of its successor's. A replica that never had a term writes while nobody decides."""

    def __init__(self, client: EtcdClient, keys: Keys, store_id: str) -> None:
        self.token = 0
        """That of this replica's last term; 0 before the first."""
        self._client = client
        self._keys = keys
        self._store_id = store_id

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """Keep the newest session of each service's rollout; what cannot be kept is dropped, and logged."""
        saved: list[str] = []
        for some in _batches(_bounded(sessions)):
            try:
                await self._write([put(self._keys.session(each.service), each.value) for each in some])
                saved += [each.service for each in some]
            except StoreLost as lost:
                log.warning("sessions_dropped", services=[each.service for each in some], reason=str(lost))
        return saved

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        found = await self._read(self._keys.session(service))
        if found is None:
            return None
        try:
            session = read_session(found)
        except (ValueError, zlib.error) as error:  # evidence is gathered anew
            log.error("session_unreadable", service=service, reason=str(error))
            return None
        return session.text if session.rollout_id == rollout_id else None

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; one that cannot be kept is dropped, and logged."""
        if len(recording) > MAX_RECORDING:
            log.warning("recording_dropped", rollout=rollout_id, reason=f"larger than {MAX_RECORDING} bytes")
            return
        prefix = self._keys.recordings
        try:
            await self._write([put(prefix + rollout_id, recording)])
            await self._drop_oldest_recordings()
        except StoreLost as lost:
            log.warning("recording_dropped", rollout=rollout_id, reason=str(lost))

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        return await self._read(self._keys.recordings + rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence. `NotWritten` once the term is over."""
        await self._write([put(self._keys.cursor(reader), str(sequence).encode())])

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a new reader, and for one whose cursor cannot be read."""
        found = await self._read(self._keys.cursor(reader))
        try:
            return int(found) if found else None
        except ValueError as error:
            log.error("cursor_unreadable", reader=reader, reason=str(error))
            return None

    async def _write(self, operations: Iterable[pb.RequestOp]) -> None:
        """Do it as long as the term goes on. `NotWritten`: it is over."""
        compares = [serves(self._keys, self._store_id), leads(self._keys, self.token)]
        response = await self._client.txn(pb.TxnRequest(compare=compares, success=operations))
        if not response.succeeded:
            raise NotWritten(f"the term of token {self.token} is over" if self.token else "another replica decides")

    async def _read(self, key: str) -> bytes | None:
        found = await self._client.range(key)
        return found.kvs[0].value if found.kvs else None

    async def _drop_oldest_recordings(self) -> None:
        prefix = self._keys.recordings
        kept = await self._client.range(prefix, prefix_end(prefix), keys_only=True)
        beyond = max(0, len(kept.kvs) - KEPT_RECORDINGS)
        oldest = sorted(kept.kvs, key=lambda kv: kv.create_revision)[: min(beyond, AT_ONCE)]
        if oldest:
            await self._write([deletion(as_text(kv.key)) for kv in oldest])


def session_value(session: SavedSession) -> bytes:
    """A session as it is stored."""
    return packed(f"{session.rollout_id}\n{session.text}")


def read_session(value: bytes) -> SavedSession:
    """The session that is stored so. ValueError or zlib.error if it cannot be read."""
    rollout_id, _, text = unpacked(value).partition("\n")
    return SavedSession(rollout_id, text)


def _bounded(sessions: Mapping[str, SavedSession]) -> Iterator[Saved]:
    """As they are stored, without those that are too large, which are logged."""
    for service, session in sessions.items():
        value = session_value(session) if len(session.text) <= MAX_SESSION else b""
        if 0 < len(value) <= TOGETHER:
            yield Saved(service, value)
        else:
            bounds = f"longer than {MAX_SESSION} characters, or {TOGETHER} bytes compressed"
            log.warning("session_dropped", service=service, reason=bounds)


def _batches(sessions: Iterable[Saved]) -> Iterator[list[Saved]]:
    """In the same order, as many at once as one transaction takes."""
    batch: list[Saved] = []
    size = 0
    for each in sessions:
        if batch and (len(batch) == AT_ONCE or size + len(each.value) > TOGETHER):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.value)
    if batch:
        yield batch
