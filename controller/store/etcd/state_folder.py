"""What one controller keeps on its own machine beside a store in etcd."""

from pathlib import Path
from typing import Self

import structlog

from controller.store.file_lock import FileLock

OWN_FOLDER = "a state folder of its own with XDG_STATE_HOME=FOLDER"
LAST_KNOWN, LEDGER = "last-known", "ledger"

log = structlog.get_logger()


class StateFolder:
    """The folder of one controller, from `take` to `release`.

    Two controllers in one folder would replace each other's copy, so that one of them could start with an older state
    than it has served.
    """

    def __init__(self, path: Path, lock: FileLock | None) -> None:
        self.last_known = path / LAST_KNOWN
        """The copy of the state that was served last."""
        self.ledger = path / LEDGER
        """The folder of the exported ledger."""
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take that folder, which is made when something is stored there. `Unusable` if another controller has it.

        On a disk that refuses a lock no controller can keep a copy either: each goes on without, and says so.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(path, FileLock.take(path, OWN_FOLDER))
        except OSError as error:
            log.warning("state_folder_not_locked", path=str(path), reason=str(error))
            return cls(path, None)

    def release(self) -> None:
        """Another controller may have it. A second time does nothing."""
        lock, self._lock = self._lock, None
        if lock:
            lock.release()
