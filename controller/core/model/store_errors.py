"""What a store can answer instead of applying a change, and what each answer means."""


class StoreError(Exception):
    """Base of what a store can answer instead of doing it."""


class Conflict(StoreError):  # noqa: N818
    """Surely not applied: another change came first, or the token is not the current one. Read again."""


class Frozen(StoreError):  # noqa: N818
    """Surely not applied: a freeze in force stops this act. The message names it."""


class ReusedId(StoreError):  # noqa: N818
    """Surely not applied: a change with this id but another content was applied before."""


class StoreLost(StoreError):  # noqa: N818
    """Perhaps applied: the store did not answer. Read again and look for the change id."""


class NotWritten(StoreLost):
    """Surely not applied: the disk refused it (full, I/O error). What was stored before stands and is served."""


class DiskFull(NotWritten):
    """Surely not applied: there is no space for it. What stops traffic or moves it from harm may still have space."""


class TooLarge(NotWritten):
    """Surely not applied: it is larger than the store takes at once. Sent again as it is, it is refused again."""


class Unusable(StoreError):  # noqa: N818
    """The store cannot be opened: corrupt, not writable, of a newer schema, in use. The message says what to do."""
