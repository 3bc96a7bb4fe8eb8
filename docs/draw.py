"""Draw what docs/rollouts.md shows from the tables in the code; with --check, only compare."""

import sys
from collections import defaultdict
from pathlib import Path

from controller.core.model.freeze import STOPS, Act, Mode
from controller.core.model.rollout import BACK, RUNNING, TRANSITIONS, Event, Phase

PAGE = Path(__file__).with_name("rollouts.md")


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


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


DRAWINGS = {"diagram": diagram, "transitions": transitions, "freezes": freezes}


def redrawn(page: str) -> str:
    """The page with each drawing between its marks made anew."""
    for name, draw in DRAWINGS.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = page.split(begin)
        page = before + begin + draw() + end + rest.split(end)[1]
    return page


def main() -> None:
    """Draw, or check that what is there is what would be drawn."""
    page = PAGE.read_text(encoding="utf-8")
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(redrawn(page), encoding="utf-8")
    elif redrawn(page) != page:
        raise SystemExit(f"{PAGE.name} is not fresh: run `make docs`")


if __name__ == "__main__":
    main()
