"""Characters that no output may carry, written down apart from the code under test, and texts with them."""

import re

from hypothesis import strategies as st

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\u034f\u180e\u115f\u3164"
CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) + "\u2028\u2029"
TAGS = "\U000e0001\U000e0041\U000e007f\U000e0100"

UNSAFE = re.compile(f"[{re.escape(BIDI + ZERO_WIDTH + CONTROLS + TAGS)}]")
"""Any of them. A text of lines may have tabs and ends of lines, so take those out before."""

ALL = BIDI + ZERO_WIDTH + TAGS + CONTROLS
HIDDEN = ZERO_WIDTH + TAGS + "\u061c\u200e\u200f"
"""Those that an operator's reason may have without being refused: they come along with pasted text."""


def unsafe_texts(of: str = ALL) -> st.SearchStrategy[str]:
    """Short texts of letters and of these characters."""
    return st.text(f"{of}abc אב\n\t", max_size=20)
