"""A disk of a few megabytes, which a test fills. Needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OURS = "haldane-test-"
"""How the sources of our mounts begin; the process id of the test comes next."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """What is in `folder` is on a disk of its own."""

    folder: Path

    def fill(self) -> None:
        """Take all the space that is left."""
        with contextlib.suppress(OSError), (self.folder / "ballast").open("ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1 << 16))
        with contextlib.suppress(OSError), (self.folder / "ballast").open("ab", buffering=0) as ballast:
            while ballast.write(b"\0"):
                pass

    def clear(self) -> None:
        """There is space again."""
        (self.folder / "ballast").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Such a disk at that folder, until the end of the block."""
    remove_leftovers()
    folder.mkdir(parents=True)
    words = ["-t", "tmpfs", "-o", f"size={megabytes}m", f"{OURS}{os.getpid()}"]
    subprocess.run(["mount", *words, str(folder)], check=True, capture_output=True)
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(str(folder))


def remove_leftovers() -> None:
    """Unmount the disks of tests that were killed before they could."""
    for line in Path("/proc/mounts").read_text().splitlines():
        source, folder, *_ = line.split()
        if source.startswith(OURS) and not Path(f"/proc/{source.removeprefix(OURS)}").exists():
            _unmount(folder)


def _unmount(folder: str) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)
