"""Energy tables: what one action costs, with its range, its boundary and its source; and pricing activity with them.

A table is data, `archs/<name>/energy.yaml`:

    actions:
      spmat.read:
        energy: {low: 30 pJ, nominal: 35 pJ, high: 40 pJ}
        component: spmat
        boundary: core            # core = logic and memories; chip adds pads and I/O; system adds DRAM and host
        source: "Han et al., ISCA 2016, Table I"
    static:
      spmat: {power: {low: 0 W, nominal: 1 mW, high: 2 mW}, boundary: core, source: "..."}

Counts come from `Design.activity()`; nothing here knows a machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sim.config import Joules, Spec, Watts, load, make, read_yaml
from sim.errors import InputError, nearest

Boundary = Literal["core", "chip", "system"]
BOUNDARIES: tuple[Boundary, ...] = ("core", "chip", "system")

Text = Annotated[str, Field(min_length=1)]


class _Range(Spec):
    """Three values in order; the units are those of the subclass."""

    low: float
    nominal: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.low <= self.nominal <= self.high:
            raise ValueError(
                f"found low {self.low:g}, nominal {self.nominal:g}, high {self.high:g}; "
                "allowed: 0 <= low <= nominal <= high"
            )
        return self

    def times(self, factor: float) -> Self:
        """All three values scaled."""
        return type(self)(low=self.low * factor, nominal=self.nominal * factor, high=self.high * factor)


class EnergyRange(_Range):
    """Joules per action."""

    low: Joules
    nominal: Joules
    high: Joules


class PowerRange(_Range):
    """Watts, for as long as the machine is on."""

    low: Watts
    nominal: Watts
    high: Watts


class Action(Spec):
    """What one action costs, the component it is booked on, and where the number comes from."""

    energy: EnergyRange
    component: Text
    boundary: Boundary
    source: Text


class Static(Spec):
    """What a component draws all the time: leakage, clock tree, refresh."""

    power: PowerRange
    boundary: Boundary
    source: Text


class _OwnAction(Spec):
    """A user's price for an action the table knows; component and boundary stay what they were unless given."""

    energy: EnergyRange
    source: Text = "own table"
    component: Text | None = None
    boundary: Boundary | None = None


class _OwnStatic(Spec):
    power: PowerRange
    source: Text = "own table"
    boundary: Boundary | None = None


class _OwnTable(Spec):
    actions: dict[str, _OwnAction] = Field(default_factory=dict)
    static: dict[str, _OwnStatic] = Field(default_factory=dict)


class Interval(NamedTuple):
    """Joules with every constant at its low, nominal and high value."""

    low: float
    nominal: float
    high: float


class Mover(NamedTuple):
    """A constant and how far the total moves (joules) when it alone goes from its low to its high value."""

    constant: str
    spread_j: float


@dataclass(frozen=True, slots=True)
class Priced:
    """Joules within a boundary: by component (nominal), as an interval, and the three constants that move it most.

    `by_boundary` has all three totals whatever the boundary asked for; each includes the one before it.
    """

    by_component: Mapping[str, float]
    interval: Interval
    by_boundary: Mapping[Boundary, float]
    movers: tuple[Mover, ...]


class _Part(NamedTuple):
    constant: str
    component: str
    boundary: Boundary
    amount: float
    range: _Range


class EnergyTable(Spec):
    """Prices by action, and static power by component."""

    actions: dict[str, Action]
    static: dict[str, Static] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> "EnergyTable":
        """Read a table; mistakes are InputErrors that point into the file."""
        return load(cls, path)

    def price(self, activity: Mapping[str, int], seconds: float, boundary: Boundary = "system") -> Priced:
        """Joules of `activity` (action -> count) over `seconds`, counting what lies within `boundary`."""
        parts = list(self._parts(activity, seconds))
        inside = [part for part in parts if _within(part.boundary, boundary)]
        by_component: dict[str, list[float]] = {}
        for part in inside:
            by_component.setdefault(part.component, []).append(part.amount * part.range.nominal)
        low, nominal, high = (fsum(p.amount * getattr(p.range, end) for p in inside) for end in Interval._fields)
        moves = [Mover(p.constant, p.amount * (p.range.high - p.range.low)) for p in inside]
        return Priced(
            {component: fsum(joules) for component, joules in by_component.items()},
            Interval(low, nominal, high),
            {b: fsum(p.amount * p.range.nominal for p in parts if _within(p.boundary, b)) for b in BOUNDARIES},
            tuple(sorted((m for m in moves if m.spread_j > 0), key=lambda m: (-m.spread_j, m.constant))[:3]),
        )

    def _parts(self, activity: Mapping[str, int], seconds: float) -> Iterator[_Part]:
        for name, count in activity.items():
            if name not in self.actions:
                raise InputError(f"action {name} has no price; {nearest(name, self.actions)}", where="energy table")
            action = self.actions[name]
            yield _Part(name, action.component, action.boundary, count, action.energy)
        for name, static in self.static.items():
            yield _Part(f"static.{name}", name, static.boundary, seconds, static.power)

    def scaled(self, dynamic: float = 1.0, static: float = 1.0, boundary: Boundary = "core") -> "EnergyTable":
        """Prices within `boundary` times `dynamic`, static power times `static`: a voltage corner of the same machine."""
        actions = {
            name: action.model_copy(update={"energy": action.energy.times(dynamic)})
            if _within(action.boundary, boundary)
            else action
            for name, action in self.actions.items()
        }
        idle = {
            name: item.model_copy(update={"power": item.power.times(static)})
            if _within(item.boundary, boundary)
            else item
            for name, item in self.static.items()
        }
        return EnergyTable(actions=actions, static=idle)

    def replace(
        self, actions: Mapping[str, Action] | None = None, static: Mapping[str, Static] | None = None
    ) -> "EnergyTable":
        """The table with some entries exchanged or added."""
        return EnergyTable(actions=self.actions | dict(actions or {}), static=self.static | dict(static or {}))

    def override(self, path: str | Path) -> "EnergyTable":
        """The table with the entries of a user's own file in place of its own; entries it does not know are errors."""
        document = read_yaml(path)
        own = make(_OwnTable, document)
        for kind, names, known in (("actions", own.actions, self.actions), ("static", own.static, self.static)):
            for name in names:
                if name not in known:
                    raise document.error(f"unknown entry; {nearest(name, known)}", (kind, name))
        return EnergyTable(
            actions=self.actions
            | {n: self.actions[n].model_copy(update=_given(a, a.energy, "energy")) for n, a in own.actions.items()},
            static=self.static
            | {n: self.static[n].model_copy(update=_given(s, s.power, "power")) for n, s in own.static.items()},
        )


def _given(entry: Spec, cost: _Range, name: str) -> dict[str, object]:
    """The fields a user's entry sets; the range stays a model."""
    return {key: value for key, value in entry.model_dump().items() if value is not None and key != name} | {name: cost}


def _within(inner: Boundary, outer: Boundary) -> bool:
    return BOUNDARIES.index(inner) <= BOUNDARIES.index(outer)
