"""What a service has from the folder whose service files are applied."""

from controller.core.base.value import Value


class Followed(Value):
    """The file that was applied last, and the canary that was started for it.

    `digest` is the SHA-256 of the file's text, `at` the Unix seconds when it was applied. `canary` is the one of the
    file's `rollout` once it was started, or found started: it is not started again, whatever becomes of it. `earlier`
    are the digests of the texts that were applied before and replaced since, the newest first.
    """

    file: str
    digest: str
    at: float
    canary: str = ""
    earlier: tuple[str, ...] = ()
