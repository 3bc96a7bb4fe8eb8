"""Python's garbage collector, tuned once at the start, and put off while thousands of streams are pushed to.

By default it scans the youngest objects after every 700 allocations. One push to 1000 proxies allocates far more small
objects than that, none of them garbage, so nearly a tenth of a push was spent in scans (`python -m tests.bench xds`
measures the share). And a full collection walks everything that was loaded at the start: a tenth of a second in which
no proxy is served.

A push to 5000 proxies has 50 000 small objects at the same time, which are gone once it is over. A scan in the middle
of it stopped it for 80 ms of CPU, more than a quarter of all that it takes.
"""

import gc

THRESHOLDS = (50_000, 20, 50)
"""Allocations between two scans of the youngest generation; scans of each younger one between two of the next."""

PUSHING = (250_000, 20, 50)
"""The same during a push: what one to 20 000 streams has at the same time."""


def tune_gc() -> None:
    """Collect rarely, and exempt everything that exists now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def put_off_gc() -> None:
    """Collect more rarely until `resume_gc`, if this process is tuned."""
    if gc.get_threshold() == THRESHOLDS:
        gc.set_threshold(*PUSHING)


def resume_gc() -> None:
    """Collect as `tune_gc` has set it, after `put_off_gc`."""
    if gc.get_threshold() == PUSHING:
        gc.set_threshold(*THRESHOLDS)
