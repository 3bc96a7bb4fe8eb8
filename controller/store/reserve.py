"""Disk space set aside for what must be written even on a full disk: rollbacks, freezes, and what ends them."""

import contextlib
import os
from pathlib import Path

import structlog

RESERVE = 64 * 1024 * 1024
"""Bytes set aside by default. A thousand rollbacks with their ends and a thousand freezes that are lifted add 10 MB to
the file where the service files have 1 KB, and 24 MB where they have 8 KB; the evidence of each decision comes to that.
"""

STEP = 256 * 1024
"""Bytes given up at a time: small, so that another program that fills the disk gets little of it. As much must be free
before a disk that was full counts as one with space."""

FULL = "the disk is full: until there is space, only rollbacks, freezes and what ends them are stored"
USED_UP = "the disk is full, and no space is left that is reserved for rollbacks and freezes"

log = structlog.get_logger()


class Reserve:
    """A file of allocated blocks beside the store. It is shortened by a step when the disk is full."""

    def __init__(self, path: Path, wanted: int) -> None:
        """`path` is the store's, `wanted` the size in bytes, 0 for none. Nothing is allocated before `fill`."""
        self._path = path.with_name(path.name + "-reserve")
        self._wanted = wanted
        self._held = self._size()
        self._goal = self._held
        """The size in bytes that it has when it is whole."""
        self._low = False

    @property
    def problem(self) -> str:
        """Why what is free is only for what is essential; empty while there is space for everything."""
        if not self._low:
            return ""
        return FULL if self._held else USED_UP

    def set_low(self) -> None:
        """A write found the disk full: what is free is only for what is essential until `fill` finds space again."""
        self._low = bool(self._wanted)

    def fill(self) -> None:
        """Set aside what is wanted, or half of what is free if that is less. Raises nothing: it can be tried again.

        After a full disk, there is space again once all that was given up is back and a step more is free.
        """
        try:
            disk = os.statvfs(self._path.parent)
            free = disk.f_bavail * disk.f_frsize
            affordable = (self._held + free) // 2
            if free < STEP:  # unless more can be allocated all the same
                self.set_low()
            self._goal = max(self._goal, min(self._wanted, affordable))
            if self._low or self._held < self._goal:
                self._allocate(self._goal + (STEP if self._low else 0))
            self._low = False
        except OSError as error:
            log.debug("reserve_not_filled", reason=str(error))

    def release(self) -> bool:
        """Give up one step; False if nothing is left to give up."""
        self.set_low()
        if not self._held:
            return False
        left = max(0, self._held - STEP)
        try:
            os.truncate(self._path, left)
        except OSError as error:
            log.warning("reserve_not_released", reason=str(error))
            left = 0
        self._held = left
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _allocate(self, size: int) -> None:
        """Allocate `size` bytes and keep the goal of them; without space for all of them, keep what is held."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            self._held = self._goal
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._held)
            os.close(descriptor)
