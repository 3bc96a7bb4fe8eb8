"""Header blocks that never end are noticed, however their bytes are cut; all others pass."""

import random

import pytest

from controller.process.header_blocks import CONTINUATION, END_HEADERS, HEAD, HEADERS, PREFACE, HeaderBlocks

MOST = 1000
DATA = 0


def frame(kind: int, length: int, flags: int = 0) -> bytes:
    """A frame on stream 1."""
    return length.to_bytes(3, "big") + bytes((kind, flags, 0, 0, 0, 1)) + bytes(length)


def passes(*frames: bytes, seed: int = 0) -> bool:
    """Whether a connection with these frames passes, its bytes cut at random."""
    blocks, sent, dice = HeaderBlocks(MOST), bytes(PREFACE) + b"".join(frames), random.Random(seed)
    while sent:
        size = dice.choice((1, 2, 8, 9, 10, 100, len(sent)))
        if not blocks.feed(sent[:size]):
            return False
        sent = sent[size:]
    return True


@pytest.mark.parametrize("seed", range(10))
def test_a_block_may_have_that_many_bytes_until_it_ends(seed: int) -> None:
    """In one frame or in many; what ends before that counts for nothing, nor do other frames."""
    fits = MOST - HEAD
    assert passes(frame(HEADERS, fits), frame(CONTINUATION, 16_000, END_HEADERS), frame(HEADERS, fits), seed=seed)
    assert not passes(frame(HEADERS, fits + 1), seed=seed)
    assert not passes(frame(HEADERS, fits), frame(CONTINUATION, 0), seed=seed)
    assert not passes(*[frame(HEADERS, 0), *[frame(CONTINUATION, 0)] * 1000], seed=seed)
    assert passes(*[frame(HEADERS, 5000, END_HEADERS | 1), frame(DATA, 100_000), frame(HEADERS, 1)] * 20, seed=seed)
