"""The windows that a rollout was judged by, kept in little space so that another policy can judge
them again.

The newest windows are kept as they were. Older ones are merged with their neighbours: a window's
width is a small part of its age. Adding one costs a tick almost nothing; `merge_pending` puts it in
its place later, and merges a window or two on the way, never all of them at once. Only windows of
one weight with the same sides reported by the same groups of proxies are merged, so no change of
weight and no silence is smoothed away, and no splits are mixed. Of custom metrics the counts of
merged windows are added up; of a gauge's values the newest stays.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from controller.core.history.window_record import SHORT, StoredWindow, WindowRecord
from controller.core.traffic.window import Window

FINE = 300
"""The newest windows, which are never merged: two minutes and a half at two ticks a second."""
KEPT, LEVELS = 85, 14
"""Older windows: so many of each level's width at most, and how many levels there are. It is enough
for two weeks."""
PACE = 1.0
"""Seconds that a merged window spans at the first level; twice as many at each further one."""
MOST = FINE + KEPT * LEVELS
"""Windows of a rollout."""
MOST_PENDING = 50
"""Windows that may wait for `merge_pending`."""
MOST_NUMBERS = 300_000
"""Numbers in the windows of a rollout: about a million characters."""
TICK = 0.5
"""Seconds between two ticks while nothing is reported, when silence is replayed."""


class WindowHistory:
    """The windows of one rollout, oldest first. Mutable."""

    def __init__(self, lines: Iterable[str] = (), *, dropped: int = 0) -> None:
        self._pending: list[WindowRecord] = []
        self._open: WindowRecord | None = None
        self._fine = deque[StoredWindow]()
        self._levels = [deque[StoredWindow]() for _ in range(LEVELS)]
        self._size = 0
        self.dropped = dropped
        """How many of the oldest windows are gone."""
        for line in lines:
            self._keep(StoredWindow.from_stored(json.loads(line)))

    def add(self, record: WindowRecord) -> None:
        """Add a window."""
        self._pending.append(record)
        if len(self._pending) >= MOST_PENDING:
            self.merge_pending()

    def merge_pending(self) -> None:
        """Put what was added in its place."""
        for record in self._pending:
            extended = _extended(self._open, record) if self._open else record
            if extended is None:
                self._seal()
                extended = record
            self._open = extended
        self._pending.clear()

    def copy(self) -> "WindowHistory":
        """An independent one, at little cost: windows are values."""
        self.merge_pending()
        twin = WindowHistory(dropped=self.dropped)
        twin._open, twin._size = self._open, self._size
        twin._fine, twin._levels = self._fine.copy(), [level.copy() for level in self._levels]
        return twin

    def records(self) -> Iterator[WindowRecord]:
        """Every window, oldest first."""
        self.merge_pending()
        yield from (window.record for window in self._windows())
        if self._open:
            yield self._open

    def lines(self) -> list[str]:
        """The stored form, a line each."""
        self.merge_pending()
        newest = [StoredWindow.of(self._open)] if self._open else []
        return [_line(window) for window in (*self._windows(), *newest)]

    def truncate(self, time: float) -> None:
        """Forget what happened after that time: a judge that went back to an earlier save will see
        it again."""
        self.merge_pending()
        self._seal()
        for windows in (self._fine, *self._levels):
            while windows and windows[-1].at > time:
                self._size -= windows.pop().size

    def _windows(self) -> Iterator[StoredWindow]:
        return chain(*reversed(self._levels), self._fine)

    def _seal(self) -> None:
        if self._open is not None:
            self._keep(StoredWindow.of(self._open))
            self._open = None

    def _keep(self, window: StoredWindow) -> None:
        self._fine.append(window)
        self._size += window.size
        if len(self._fine) > FINE:
            self._sink(self._fine.popleft(), 0)
        while self._size > MOST_NUMBERS:
            self._drop(next(windows for windows in (*reversed(self._levels), self._fine) if windows))

    def _sink(self, window: StoredWindow, depth: int) -> None:
        """Put a window at the end of a level, merged with the one before it if they fit; the
        level's oldest may have to go one deeper."""
        level = self._levels[depth]
        merged = level[-1].merged_with(window, PACE * 2**depth) if level else None
        if merged:
            self._size += merged.size - level.pop().size - window.size
        level.append(merged or window)
        if len(level) <= KEPT:
            return
        if depth + 1 < LEVELS:
            self._sink(level.popleft(), depth + 1)
        else:
            self._drop(level)

    def _drop(self, windows: deque[StoredWindow]) -> None:
        self._size -= windows.popleft().size
        self.dropped += 1


def replay_windows(records: Iterable[WindowRecord]) -> Iterator[tuple[WindowRecord, Window]]:
    """The windows to judge once more, each with its record: silence becomes the ticks that found
    it."""
    before = 0.0
    for record in records:
        silent_until = record.at if record.unreported else record.since
        while before + TICK < silent_until:
            before += TICK
            yield record, Window(before, record.weight, None, None)
        yield record, record.window
        before = record.at


def _extended(last: WindowRecord, record: WindowRecord) -> WindowRecord | None:
    """The last window and the new one as one, if silence makes them one; else None."""
    if not last.silent or last.weight != record.weight or last.at != record.since:
        return None
    if record.silent or last.at - last.since < SHORT:
        return record._replace(since=last.since)
    return None


def _line(window: StoredWindow) -> str:
    """As JSON; what most windows do not have is left out at the end."""
    seldom = (dict(window.custom), window.strata) if window.strata else (window.custom,) if window.custom else ()
    return json.dumps((*window[:-2], *seldom), separators=(",", ":"))
