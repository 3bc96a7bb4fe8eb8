"""`haldane` that is killed as soon as a migrated file is whole, before it gets its name."""

import os
import signal
import sys

if __name__ == "__main__":
    from controller.__main__ import main
    from controller.store.migration import sqlite_place

    sqlite_place.os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    sys.exit(main(sys.argv[1:]))
