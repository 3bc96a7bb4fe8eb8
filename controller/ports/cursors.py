"""How far each reader of the ledger has come."""

from typing import Protocol


class Cursors(Protocol):
    """Keeps how far each reader of the ledger has come. A reader whose cursor is lost begins at the ledger's end."""

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence. `StoreLost`: perhaps saved."""
        ...

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a new reader. `StoreLost` if the store cannot be read."""
        ...
