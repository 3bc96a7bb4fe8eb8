"""Python's garbage collector, tuned once at the start.

By default it scans the youngest objects after every 700 allocations. One push to 1000 proxies allocates far more small
objects than that, none of them garbage, so nearly a tenth of a push was spent in scans (`python -m tests.bench xds`
measures the share). And a full collection walks everything that was loaded at the start: a tenth of a second in which
no proxy is served.
"""

import gc

THRESHOLDS = (50_000, 20, 50)
"""Allocations between two scans of the youngest generation; scans of each younger one between two of the next."""


def tune_gc() -> None:
    """Collect rarely, and exempt everything that exists now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
