"""How hard the property tests try: `make fuzz` sets more."""

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Examples of each property."""
