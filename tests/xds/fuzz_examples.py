"""How hard the property tests try: `make fuzz` sets more."""

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
"""Examples of each property."""
