"""Everything that the judge knows of one rollout, and its stored form.

`time` is seconds of observation since the rollout's first tick. Every other time in here is measured by it, so a
restart with another clock goes on where it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import inf, isfinite
from operator import add, attrgetter
from typing import Any, NamedTuple

from controller.core.judge.arrivals import Arrivals
from controller.core.judge.baselines import Rate
from controller.core.judge.blocks import Block
from controller.core.judge.channels import ALTERNATIVES_OF, GATE_METRICS, Plan, plan_of
from controller.core.judge.grace import Spell
from controller.core.judge.latency_blocks import Pair, Past, Side, Thresholds
from controller.core.judge.non_inferiority import Gate, Proof
from controller.core.judge.overdue import InFlight
from controller.core.judge.wealth import Wealth
from controller.core.model.service import Policy

FORMAT = 2
"""The number of the stored form; another one is refused."""
RECENT = 60.0
"""Seconds after which the counts that are shown to people begin anew; one such span before is kept."""


class Recent(NamedTuple):
    """Counts of the last one or two minutes, for people."""

    since: float
    middle: float
    old: tuple[float, ...]
    new: tuple[float, ...]

    @classmethod
    def of(cls, time: float, counts: tuple[float, ...]) -> "Recent":
        """The first ones."""
        return cls(time, time, (0.0,) * len(counts), counts)

    def after(self, time: float, counts: tuple[float, ...]) -> "Recent":
        """With a block's counts."""
        since, middle, old, new = self
        if time - middle >= RECENT:
            return Recent(middle, time, new, counts)
        return Recent(since, middle, old, tuple(map(add, new, counts)))

    @property
    def counts(self) -> tuple[float, ...]:
        """All that is kept."""
        return tuple(map(add, self.old, self.new))


@dataclass(slots=True)
class Evidence:
    """A value: `judge` returns a new one and leaves the one it was given as it was."""

    time: float = 0.0
    at: float | None = None
    """The window clock's reading at `time`; None after a restart."""
    weight: int = 0
    changed: float = 0.0
    first: float | None = None
    """When the canary's first request was reported: the warm-up's beginning."""
    warm: bool = False
    counted: float | None = None
    """When a report last came, on either side; likewise `heard_...` on one side or on both."""
    heard_c: float = 0.0
    heard_s: float = 0.0
    heard_both: float = 0.0
    incident_until: float = -inf
    timed: bool = False
    """Whether any latency has ever been reported; likewise `classed` for 4xx."""
    classed: bool = False
    left: float = 1.0
    """The part of every channel's stake that is still unplaced."""
    harm: dict[str, Wealth] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    server: Rate = Rate()  # noqa: RUF009  (a named tuple)
    client: Rate = Rate()  # noqa: RUF009
    load_c: InFlight = InFlight()  # noqa: RUF009
    load_s: InFlight = InFlight()  # noqa: RUF009
    answers: Block = Block(0.002)  # noqa: RUF009
    classes: Block = Block(0.002)  # noqa: RUF009
    stuck: Block = Block(0.001)  # noqa: RUF009
    past: Past = Past()  # noqa: RUF009
    thresholds: Thresholds | None = None
    pair: Pair = Pair()  # noqa: RUF009
    spells: dict[str, Spell] = field(default_factory=dict)
    """By channel: stable's worst spell, and in the bake the canary's present one."""
    arrivals: Arrivals = Arrivals()  # noqa: RUF009
    recent: dict[str, Recent] = field(default_factory=dict)

    @classmethod
    def start(cls, policy: Policy) -> "Evidence":
        """Before the first window. The error budget is shared out here, once."""
        plan = plan_of(policy)
        harm = {name: Wealth.of(weight, len(ALTERNATIVES_OF[name])) for name, weight in plan.weights.items()}
        return cls(harm=harm, proofs={metric: Proof.of(len(plan.ladder)) for metric in GATE_METRICS})

    @property
    def total(self) -> float:
        """The evidence of harm: an e-value over everything that is watched, from the rollout's start."""
        return sum([unplaced + sum(bets) for unplaced, bets in self.harm.values()])

    def copy(self) -> "Evidence":
        """An independent one: the parts are immutable, the dictionaries are copied."""
        twin = Evidence(*_VALUES(self))
        twin.harm, twin.proofs, twin.recent = self.harm.copy(), self.proofs.copy(), self.recent.copy()
        twin.spells = self.spells.copy()
        return twin

    def weightiest(self, plan: Plan) -> str:
        """The channel that speaks most for harm."""
        return max(self.harm, key=lambda name: self.harm[name].total - self.left * plan.weights[name])

    def dump(self) -> dict[str, Any]:
        """As JSON values. The clock's reading is left out: clocks start anew."""
        return {"format": FORMAT, **{name: _plain(getattr(self, name)) for name in _NAMES if name != "at"}}

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "Evidence":
        """What `dump` wrote; ValueError for anything else."""
        if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
            raise ValueError(f"evidence of another format than {FORMAT}")
        try:
            values = {name: _READ.get(name, _real)(stored[name]) for name in _NAMES if name != "at"}
            return cls(**values)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ValueError(f"not stored evidence: {error!r}") from error


_NAMES = tuple(f.name for f in fields(Evidence))
_VALUES = attrgetter(*_NAMES)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return "inf" if value > 0 else "-inf"
    return value


def _real(value: Any) -> Any:
    """The inverse of `_plain` for numbers and tuples of them."""
    if isinstance(value, list):
        return tuple([_real(item) for item in value])
    if isinstance(value, str):
        if value not in ("inf", "-inf"):
            raise ValueError(f"a number is needed, not {value[:40]!r}")
        return float(value)
    return value


def _table(pairs: Any, read: Callable[[Any], Any]) -> dict[Any, Any]:
    return {float(key) if key == "inf" else key: read(item) for key, item in pairs}


def _side(stored: Any) -> Side:
    answered, errors, timed, reports = stored
    return Side(answered, errors, timed, _real(reports))


def _past(stored: Any) -> Past:
    at, weight, total, counts = stored
    return Past(at, weight, total, _table(counts, _real))


_READ: dict[str, Callable[[Any], Any]] = {
    "harm": lambda stored: _table(stored, lambda wealth: Wealth(*_real(wealth))),
    "proofs": lambda stored: _table(
        stored, lambda proof: Proof(tuple([Gate(*_real(gate)) for gate in proof[0]]), *_real(proof[1:]))
    ),
    "recent": lambda stored: _table(stored, lambda recent: Recent(*_real(recent))),
    "spells": lambda stored: _table(stored, lambda spell: Spell(*_real(spell))),
    "server": lambda stored: Rate(*_real(stored)),
    "client": lambda stored: Rate(*_real(stored)),
    "load_c": lambda stored: InFlight(*_real(stored)),
    "load_s": lambda stored: InFlight(*_real(stored)),
    "answers": lambda stored: Block(*_real(stored)),
    "classes": lambda stored: Block(*_real(stored)),
    "stuck": lambda stored: Block(*_real(stored)),
    "arrivals": lambda stored: Arrivals(*_real(stored)),
    "past": _past,
    "pair": lambda stored: Pair(_real(stored[0]), _side(stored[1]), _side(stored[2])),
    "thresholds": lambda stored: Thresholds(*_real(stored)) if stored else None,
}
