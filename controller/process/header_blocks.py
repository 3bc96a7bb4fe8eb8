"""The header blocks of an HTTP/2 client, watched as its bytes pass by: how long one may be until it ends.

gRPC parses a block that never ends (a CONTINUATION flood) for as long as it comes, and holds more and more memory for
it. Nothing but the frames' headers is looked at (RFC 9113, section 4.1).
"""

PREFACE = 24
"""Bytes with which a client begins (section 3.4)."""
HEAD = 9
"""Bytes of a frame's header."""
HEADERS, CONTINUATION = 1, 9
"""Types of frames that a block consists of (sections 6.2 and 6.10)."""
END_HEADERS = 0x04
"""The flag of a block's last frame."""


class HeaderBlocks:
    """The blocks of one connection, each of at most `most` bytes with the headers of its frames."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._skip = PREFACE
        """Bytes until the next frame begins."""
        self._head = b""
        """What there is of the next frame's header."""
        self._block = 0
        """Bytes of the block that has not ended yet."""

    def feed(self, data: bytes) -> bool:
        """Whether the blocks are short enough, with the next bytes of the connection."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            missing = HEAD - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == HEAD:
                self._begin_frame(self._head)
                self._head = b""
                if self._block > self._most:
                    return False
        return True

    def _begin_frame(self, head: bytes) -> None:
        self._skip = int.from_bytes(head[:3], "big")
        if head[3] in (HEADERS, CONTINUATION):
            ends = head[4] & END_HEADERS
            self._block = 0 if ends else self._block + HEAD + self._skip
