"""Draw what docs/rollouts.md, docs/judge-constants.md and docs/in-production.md show from the code and the alerts, and
name the tests that prove the rows of other pages.

With --check, only compare.
"""

import sys
from collections import defaultdict
from pathlib import Path

import alerts
import constants
import proofs

from controller.core.model.freeze import STOPS, Act, Mode
from controller.core.model.rollout import BACK, RUNNING, TRANSITIONS, Event, Phase

DOCS = Path(__file__).parent
PAGE, CONSTANTS, PRODUCTION = "rollouts.md", "judge-constants.md", "in-production.md"


def diagram() -> str:
    """The transitions as a Mermaid state diagram: one arrow for each pair of phases, with every event that leads so."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (phase, event), cell in TRANSITIONS.items():
        for target in _targets(phase, cell):
            arrows[phase, target].append(event)
    lines = [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.IDLE}", *lines, "```"])


def _targets(phase: Phase, cell: str) -> list[str]:
    """Where a cell leads: back, to every phase that can be paused."""
    if cell == BACK:
        return [before for before in Phase if TRANSITIONS[before, Event.PAUSE] == phase]
    return [] if cell == "-" else [cell]


def transitions() -> str:
    """The transitions as a table."""
    rows = [[f"**{phase}**" if phase in RUNNING else phase, *(TRANSITIONS[phase, e] for e in Event)] for phase in Phase]
    return _table(["", *Event], rows)


def freezes() -> str:
    """What each mode stops, as a table."""
    rows = [[f"`{act}`", *("stops" if act in STOPS[mode] else "passes" for mode in Mode)] for act in Act]
    return _table(["", *(f"`{mode}`" for mode in Mode)], rows)


def constants_page(page: str) -> str:
    """The page of the judge's constants with its table drawn again, and their number above it."""
    rows = constants.constants()
    modules = len({module for module, *_ in rows})
    count = sum(len(name.split(",")) for _, name, *_ in rows)
    drawn = f"{count} constants in {modules} modules of `controller/core/judge`.\n\n"
    drawn += _table(["module", "name", "value", "reason"], [[m, f"`{n}`", f"`{v}`", r] for m, n, v, r in rows])
    return page.partition("<!-- constants -->")[0] + f"<!-- constants -->\n\n{drawn}\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def alert_table() -> str:
    """The alerts as a table."""
    return _table(["alert", "severity", "after", "says"], alerts.rows())


DRAWINGS = {
    PAGE: {"diagram": diagram, "transitions": transitions, "freezes": freezes},
    PRODUCTION: {"alerts": alert_table},
}
"""By page: what is drawn between the marks of that name."""


def redrawn(file: str, page: str) -> str:
    """The page in that file with each drawing between its marks drawn again."""
    for name, draw in DRAWINGS[file].items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = page.split(begin)
        page = before + begin + draw() + end + rest.split(end)[1]
    return page


def main() -> None:
    """Write the pages, or check that what is there is what would be written."""
    pages = {name: (DOCS / name).read_text(encoding="utf-8") for name in (*DRAWINGS, CONSTANTS, *proofs.PAGES)}
    try:
        proved = proofs.fill({name: pages[name] for name in proofs.PAGES}, proofs.proofs())
    except proofs.BadProofs as error:
        raise SystemExit(str(error)) from None
    drawn = {name: redrawn(name, pages[name]) for name in DRAWINGS}
    fresh = {**drawn, CONSTANTS: constants_page(pages[CONSTANTS]), **proved}
    stale = [name for name, page in fresh.items() if page != pages[name]]
    if sys.argv[1:] == ["--check"] and stale:
        raise SystemExit(f"not fresh: {', '.join(stale)}. Run `make docs` (python docs/draw.py)")
    for name in stale:
        (DOCS / name).write_text(fresh[name], encoding="utf-8")


if __name__ == "__main__":
    main()
