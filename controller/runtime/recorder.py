"""Records every rollout while it is judged, and saves the recordings in the archive: in the background, bounded.

Recordings are only for people. No decision depends on them, and all of them may be lost: a crash loses the last
seconds of each, or up to half a minute where so many rollouts run that saving them more often would cost too much.
"""

import asyncio
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from controller.core.control.session import Session
from controller.core.history.evidence_trace import point_of
from controller.core.history.recording import Recording
from controller.core.history.window_record import WindowRecord
from controller.core.judge.custom.custom_metrics import custom_gates, custom_readings, total_evidence, without_custom
from controller.core.judge.reasons import channel_readings, gate_readings
from controller.core.model.rollout import JUDGED, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import StoreError
from controller.core.traffic.window import Window
from controller.ports.archive import Archive
from controller.ports.clock import Clock
from controller.process.periodic import wait_and_clear

SAVE_EVERY = 4.0
"""Seconds between two saves of a recording that changes, as far as `RATE` allows: with `SETTLE_EVERY` no more than the
five seconds that a crash costs of a session."""
SAVE_AT_LATEST = 30.0
"""Seconds between two saves of one, whatever they cost."""
RATE = 50_000.0
"""Bytes a second that may be saved of recordings before they are due at the latest: some 50 ms of CPU a second, and 15
MB of an etcd that is compacted every five minutes."""
SETTLE_EVERY = 1.0
"""Seconds between two times that the window histories sort in what was added: no tick has to wait for that."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Running:
    """A recording and what it was last added to by."""

    recording: Recording
    rollout: Rollout
    session: Session
    time: float = 0.0
    """Up to when it is recorded, in seconds of observation."""
    changes: int = 0
    saved: int = 0
    """The number of changes that the archive has."""
    saved_at: float = 0.0
    """Of the clock: when it was saved last, or began."""
    decided: bool = False
    """Whether something was decided since it was saved."""
    over: bool = False
    """Whether the rollout has ended, so that the recording need not stay in memory once it is saved."""

    def described(self) -> Recording:
        """The recording, with every channel in words as it stands now."""
        policy, state, custom = self.rollout.policy, self.session.judge_state, self.session.custom
        others, recording = without_custom(policy), self.recording
        recording.limit = 1 / policy.false_rollback
        recording.channels = (*channel_readings(others, state), *custom_readings(policy, custom, state))
        recording.gates = (*gate_readings(others, state, self.rollout.step), *custom_gates(policy, custom))
        return recording


class Recorder:
    """The recordings of all rollouts: those that this replica judges from memory, all others from the archive."""

    def __init__(self, archive: Archive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._last: dict[str, tuple[Rollout, Session]] = {}
        self._spare = RATE
        """Bytes that may be saved now."""
        self._counted_at = clock.monotonic()
        self._due = asyncio.Event()
        self._saving = asyncio.Lock()

    def evidence(self, service: str) -> Mapping[str, float]:
        """By channel of harm, at the last tick of a rollout of the service."""
        if service not in self._last:
            return {}
        rollout, session = self._last[service]
        return point_of(rollout.policy, session.judge_state, session.custom, rollout.step, 0.0).harm

    def total_evidence(self, service: str) -> float | None:
        """Of all channels together, at the last tick of a rollout of the service; None before its first."""
        if service not in self._last:
            return None
        rollout, session = self._last[service]
        return total_evidence(rollout.policy, session.custom, session.judge_state)

    async def resume(self, state: ServiceState, session: Session) -> None:
        """Go on with the recording of a rollout whose session was taken up again after a restart."""
        assert state.rollout is not None
        recording = await self._load(state.rollout.id)
        if recording:
            time = session.judge_state.time
            recording.windows.truncate(time)
            recording.trace.truncate(time)
            self._running[state.name] = _Running(
                recording, state.rollout, session, time, saved_at=self._clock.monotonic()
            )

    def add(self, state: ServiceState, session: Session, window: Window, *, decided: bool) -> None:
        """Record one tick of a running rollout: the session after it, and the window that it judged."""
        rollout = state.rollout
        if rollout is None or rollout.phase not in JUDGED:
            return
        running = self._running.get(state.name)
        if running is None or running.recording.rollout_id != rollout.id:
            recording = Recording(rollout.id, state.name, rollout.stable, rollout.canary)
            running = self._running[state.name] = _Running(
                recording, rollout, session, saved_at=self._clock.monotonic()
            )
        wall, time = self._clock.wall(), session.judge_state.time
        running.recording.windows.add(WindowRecord.of(window, running.time, time, wall))
        trace = running.recording.trace
        if decided or trace.would_keep(time, total_evidence(rollout.policy, session.custom, session.judge_state)):
            point = point_of(rollout.policy, session.judge_state, session.custom, rollout.step, wall)
            trace.add(point, keep=decided)
        running.rollout, running.session, running.time = rollout, session, time
        running.changes += 1
        self._last[state.name] = rollout, session
        if decided:
            running.decided = True
            self._due.set()

    def release(self, service: str) -> None:
        """No rollout of the service runs: once its recording is saved it need not stay in memory."""
        if running := self._running.get(service):
            running.over = True
            self._release_if_saved(service, running)

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the services that are gone."""
        for remembered in (self._running, self._last):
            for gone in remembered.keys() - set(services):
                del remembered[gone]

    def forget_all(self) -> None:
        """A term is over: whoever decides next goes on with the recordings in the archive."""
        self._running.clear()
        self._last.clear()

    async def find(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout up to now; None if there is none, or none any longer."""
        for running in self._running.values():
            if running.recording.rollout_id == rollout_id:
                return running.described()
        return await self._load(rollout_id)

    async def run(self) -> None:
        """Save what is due, until cancelled."""
        while True:
            await wait_and_clear(self._due, SETTLE_EVERY)
            for running in list(self._running.values()):
                running.recording.windows.merge_pending()
                await asyncio.sleep(0)
            await self.save_due()

    async def save_due(self) -> None:
        """Save the recordings of which something was decided, and those that were not saved for `SAVE_EVERY` seconds,
        the longest first, as far as `RATE` allows; and those that were not for `SAVE_AT_LATEST`."""
        now = self._clock.monotonic()
        self._spare = min(RATE * SAVE_EVERY, self._spare + RATE * (now - self._counted_at))
        self._counted_at = now
        async with self._saving:
            for service, running in sorted(self._running.items(), key=lambda item: item[1].saved_at):
                age = now - running.saved_at
                if running.decided or age >= (SAVE_EVERY if self._spare > 0 else SAVE_AT_LATEST):
                    self._spare -= await self._save_changed(service, running)

    async def save(self) -> None:
        """Save every recording as it is now, after any save that is under way: a newer one stays."""
        async with self._saving:
            for service, running in list(self._running.items()):
                await self._save_changed(service, running)

    async def _save_changed(self, service: str, running: _Running) -> int:
        """Save one, if it has changed; how many bytes that took."""
        size, running.decided = 0, False
        if (changes := running.changes) != running.saved:
            running.saved_at = self._clock.monotonic()
            packed = await asyncio.to_thread(_packed, running.described().copy())
            await self._save(running.recording.rollout_id, packed)
            running.saved, size = changes, len(packed)
        self._release_if_saved(service, running)
        return size

    def _release_if_saved(self, service: str, running: _Running) -> None:
        if running.over and running.saved == running.changes and self._running.get(service) is running:
            del self._running[service]

    async def _save(self, rollout_id: str, packed: bytes) -> None:
        try:
            await self._archive.save_recording(rollout_id, packed)
        except StoreError as error:
            log.warning("recording_dropped", rollout=rollout_id, reason=str(error))

    async def _load(self, rollout_id: str) -> Recording | None:
        try:
            packed = await self._archive.load_recording(rollout_id)
            return Recording.load(zlib.decompress(packed).decode()) if packed else None
        except (StoreError, ValueError, zlib.error) as error:
            log.warning("recording_unreadable", rollout=rollout_id, reason=str(error))
            return None


def _packed(recording: Recording) -> bytes:
    return zlib.compress(recording.dump().encode())
