"""Python's garbage collector, set once at the start.

Its defaults look at the youngest objects after every 700 that are made. One push to 1000 proxies makes far more small
values than that, none of them garbage, so nearly a tenth of its time went into looking (`python -m tests.bench xds`
measures the share). And a full collection walks everything that was loaded at the start, for a tenth of a second in
which no proxy is served.
"""

import gc

THRESHOLDS = (50_000, 20, 50)
"""New objects between two looks at the youngest; looks at the younger between two at the older."""


def spare_collection() -> None:
    """Look seldom, and never again at what is there now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
