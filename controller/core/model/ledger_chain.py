"""The ledger's chain, checked only from its lines: whether one was changed, added or removed.

Each line carries the hash of the one before (`ledger_line.LedgerLine.after` makes the links). The check
cannot detect a ledger that was truncated at its end, or rewritten as a whole: for that, keep the last hash of an
earlier check, or an export, somewhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import LedgerLine


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """What a check found: how many lines hold, the first and the last of them, the last's hash, and what is wrong.

    `broken` is the sequence of the first line that does not fit, with the reason in `why`; None if all is well.
    """

    lines: int = 0
    first: int = 0
    last: int = 0
    hash: str = ""
    broken: int | None = None
    why: str = ""

    def then(self, line: LedgerLine) -> "ChainCheck":
        """The chain with one line more, which is known to fit."""
        return ChainCheck(self.lines + 1, self.first or line.sequence, line.sequence, line.hash)

    def fault(self, line: LedgerLine) -> str:
        """Why the line cannot be the next one; empty if it can. Any line can be the first."""
        if self.lines and line.sequence != self.last + 1:
            return f"it follows line {self.last}: what was between them is gone"
        if self.lines and line.previous != self.hash:
            return "it does not carry the hash of the line before"
        if line.sequence == 1 and line.previous:
            return "it is the first and yet carries the hash of a line before"
        if line.digest() != line.hash:
            return "its content does not give its hash: it was changed"
        return ""


def verify(lines: Iterable[LedgerLine], *, whole: bool = True) -> ChainCheck:
    """Follow the chain to its end, or to the first line that does not fit.

    With `whole` the lines must be all there are: a chain that does not begin with line 1 must account for the lines
    before it by a trimming further on. Without, what comes before the first line is taken as given.
    """
    chain = ChainCheck()
    missing: LedgerLine | None = None
    for line in lines:
        why = chain.fault(line)
        if why:
            return replace(chain, broken=line.sequence, why=why)
        if whole and chain.lines == 0 and line.sequence > 1:
            missing = line
        if missing and _accounts_for(line, missing):
            missing = None
        chain = chain.then(line)
    if missing:
        return replace(chain, broken=missing.sequence, why="the lines before it are gone, and no trimming took them")
    return chain


def _accounts_for(line: LedgerLine, first: LedgerLine) -> bool:
    """Whether this line records the trimming after which `first` is the first one left."""
    details = line.entry.details
    through = (details.get("through"), details.get("hash"))
    return line.entry.kind == LedgerKind.LEDGER_TRIMMED and through == (first.sequence - 1, first.previous)
