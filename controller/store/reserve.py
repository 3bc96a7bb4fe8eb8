"""Disk space set aside for what must be written even on a full disk: rollbacks, freezes, and what ends them."""

import contextlib
import os
from pathlib import Path

import structlog

RESERVE = 64 * 1024 * 1024
"""Bytes set aside by default. A thousand rollbacks with their ends and a thousand freezes that are lifted add 10 MB to the
file where the service files have 1 KB, and 24 MB where they have 8 KB; the evidence of each decision comes to that."""

STEP = 256 * 1024
"""Bytes given up at a time: small, so that another program that fills the disk gets little of it."""

log = structlog.get_logger()


class Reserve:
    """A file of allocated blocks beside the store. It is shortened by a step when the disk is full."""

    def __init__(self, path: Path, wanted: int) -> None:
        """`path` is the store's, `wanted` the size in bytes. Nothing is allocated before `fill`."""
        self._path = path.with_name(path.name + "-reserve")
        self._wanted = wanted
        self._goal = 0
        """The size in bytes that it had last when it was whole."""

    @property
    def in_use(self) -> bool:
        """Whether part of it was given up and is not back yet."""
        return self._held() < self._goal

    def fill(self) -> None:
        """Allocate what is wanted, or half of what is free if that is less. Raises nothing: a full disk stays full.

        What was given up comes back whole or not at all.
        """
        if not self._wanted:
            return
        held = self._held()
        try:
            disk = os.statvfs(self._path.parent)
            affordable = (held + disk.f_bavail * disk.f_frsize) // 2
            goal = max(self._goal, min(self._wanted, affordable))
            if held < goal:
                self._allocate(held, goal)
            self._goal = max(goal, held)
        except OSError as error:
            self._goal = max(self._goal, held)
            log.debug("reserve_not_filled", reason=str(error))

    def release(self) -> bool:
        """Give up one step; False if nothing is left to give up."""
        held = self._held()
        if not held:
            return False
        try:
            os.truncate(self._path, max(0, held - STEP))
        except OSError as error:
            log.warning("reserve_not_released", reason=str(error))
            return False
        if held >= self._goal:
            log.error("reserve_in_use", reason="the disk is full", bytes_left=held - STEP)
        self._goal = max(self._goal, held)
        return True

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _allocate(self, held: int, goal: int) -> None:
        """Let the file have `goal` bytes; if there is no space for all of them, leave it with `held`."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, goal)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, held)
            raise
        finally:
            os.close(descriptor)
