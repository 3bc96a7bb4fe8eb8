"""A program's own wall clock, which a test sets while it runs; other programs keep theirs. Needs a C compiler."""

import mmap
import platform
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def why_not() -> str:
    """Why no program can have a clock of its own here; empty if one can."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "wall clocks of programs are set on Linux on x86_64 alone"
    return "" if shutil.which("cc") else "no C compiler (cc) here"


class WallClock:
    """The wall clock of the programs that are started with its `environment`. It jumps at once, within them too."""

    def __init__(self, folder: Path, name: str) -> None:
        """Compiles what is preloaded, once for a folder."""
        library = folder / "wall_clock.so"
        if not library.exists():
            words = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run(words, check=True, capture_output=True)
        file = folder / f"{name}.clock"
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "TEST_WALL_CLOCK": str(file)}

    @property
    def ahead(self) -> int:
        """Seconds that it is ahead of the machine's."""
        (seconds,) = struct.unpack("=q", self._ahead[:])
        return int(seconds)

    def jump_to(self, ahead: int) -> None:
        """From now on it is so many seconds ahead."""
        self._ahead[:] = struct.pack("=q", ahead)
