"""What a study varies: axes, each with a domain, some only where another has a certain value; and points drawn from them.

An assignment maps axis names to values. Inactive axes are left out of it. The order of the axes is the order of the
grid: those that decide about the network and its encoding come first, so that points that share them stand together.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from sim.config import Spec

Assignment = dict[str, Any]


class Values(Spec):
    """Values as listed: numbers, texts, lists."""

    values: Annotated[tuple[Any, ...], Field(min_length=1)]

    @property
    def count(self) -> int | None:
        """How many values."""
        return len(self.values)

    def at(self, share: float) -> Any:
        """The value at a share of 0 to 1 (excluded) of the domain."""
        return self.values[int(share * len(self.values))]

    def ends(self) -> Sequence[Any]:
        """Values to check before anything runs."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether it is one of them; `eie` is where `eie:64pe` is."""
        return any(among(own, (value,)) for own in self.values)

    def all(self) -> Sequence[Any]:
        """Every value of a grid."""
        return self.values


_QUANTITY = re.compile(r"([-+.\deE]*[\d.])\s*(\D*)")


class Range(Spec):
    """From `low` to `high`, both included: whole numbers where both are; `log` spaces them by ratio, `steps` counts them.

    Quantities are texts with the same unit: `low: 200 MHz, high: 1600 MHz`.
    """

    low: int | float | str
    high: int | float | str
    log: bool = False
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        (low, unit), (high, other) = _split(self.low), _split(self.high)
        if unit != other:
            raise ValueError(f"found {self.low!r} and {self.high!r}; allowed: the same unit")
        if not low < high:
            raise ValueError(f"an empty range: {self.low} is not less than {self.high}")
        if self.log and low <= 0:
            raise ValueError(f"found {self.low}; a log range begins above 0")
        return self

    def holds(self, value: Any) -> bool:
        """Whether it is one of its values."""
        try:
            number, unit = _split(value)
        except (TypeError, ValueError):
            return False
        (low, own), high = _split(self.low), _split(self.high)[0]
        return unit == own and low <= number <= high

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def count(self) -> int | None:
        """How many values a grid has; None for a range of real numbers without steps."""
        return len(self.all()) if self.steps or self.whole else None

    def at(self, share: float) -> Any:
        """The value at a share of 0 to 1 of the domain."""
        if self.steps:
            values = self.all()
            return values[min(int(share * len(values)), len(values) - 1)]
        low, high = _split(self.low)[0], _split(self.high)[0]
        if self.whole:
            high, bottom = high + 0.5, low - 0.5
            found = _between(max(bottom, 0.5) if self.log else bottom, high, share, self.log)
            return min(max(round(found), self.low), self.high)
        return self._value(_between(low, high, share, self.log))

    def ends(self) -> Sequence[Any]:
        """Values to check before anything runs."""
        return (self.low, self.high)

    def all(self) -> Sequence[Any]:
        """Every value of a grid, each once."""
        low, high = _split(self.low)[0], _split(self.high)[0]
        steps = self.steps or int(high - low) + 1
        shares = np.linspace(0, 1, steps)
        return list(dict.fromkeys(self._value(_between(low, high, float(share), self.log)) for share in shares))

    def _value(self, number: float) -> Any:
        unit = _split(self.low)[1]
        return round(number) if self.whole else f"{number:.6g} {unit}" if unit else float(f"{number:.6g}")


def _split(value: int | float | str) -> tuple[float, str]:
    """A quantity's number and unit."""
    if not isinstance(value, str):
        return float(value), ""
    match = _QUANTITY.fullmatch(value.strip())
    if not match:
        raise ValueError(f"found {value!r}; allowed: a number, or a number and a unit")
    return float(match[1]), match[2]


def _between(low: float, high: float, share: float, log: bool) -> float:
    return low * (high / low) ** share if log else low + (high - low) * share


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter, its values, and where it is active: other parameters' values, all of which must hold."""

    name: str
    domain: Values | Range
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the parameter has a meaning where the others are as `chosen`."""
        return all(other in chosen and among(chosen[other], allowed) for other, allowed in self.when.items())

    def reaches(self, arch: str, others: Mapping[str, "Axis"]) -> bool:
        """Whether it may be active on this accelerator: it, and all that it depends on."""
        here = "arch" not in self.when or among(arch, self.when["arch"])
        return here and all(others[name].reaches(arch, others) for name in self.when)


def among(value: Any, allowed: tuple[Any, ...]) -> bool:
    """`eie:64pe` is among `eie` too."""
    return value in allowed or (isinstance(value, str) and value.partition(":")[0] in allowed)


@dataclass(frozen=True, slots=True)
class Space:
    """The axes in the order in which they are set."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, axes: Iterable[Axis], first: Sequence[str], last: Collection[str] = ()) -> "Space":
        """Axes named in `first` come first, in its order, after those that they depend on; so do all before `last`."""
        given, ordered = {axis.name: axis for axis in axes}, dict[str, Axis]()

        def put(axis: Axis) -> None:
            for other in axis.when:
                put(given[other])
            ordered.setdefault(axis.name, axis)

        for name in (*[n for n in first if n in given], *[n for n in given if n not in last], *given):
            put(given[name])
        return cls(tuple(ordered.values()))

    def walk(self, choose: Callable[[Axis], Any]) -> Assignment:
        """One assignment: every active axis as `choose` says."""
        chosen: Assignment = {}
        for axis in self.axes:
            if axis.active(chosen):
                chosen[axis.name] = choose(axis)
        return chosen

    def grid(self) -> Iterator[Assignment]:
        """Every assignment, the last axis fastest."""
        return self._grid({}, 0)

    def _grid(self, chosen: Assignment, depth: int) -> Iterator[Assignment]:
        if depth == len(self.axes):
            yield dict(chosen)
            return
        axis = self.axes[depth]
        if not axis.active(chosen):
            yield from self._grid(chosen, depth + 1)
            return
        for value in axis.domain.all():
            yield from self._grid({**chosen, axis.name: value}, depth + 1)

    def size(self) -> int:
        """Points of the grid."""
        if not any(axis.when for axis in self.axes):
            return int(np.prod([axis.domain.count or 0 for axis in self.axes], dtype=object))
        return sum(1 for _ in self.grid())

    def drawn(self, rows: Iterable[Sequence[float]]) -> Iterator[Assignment]:
        """Assignments from rows of shares, one share per axis; each only once."""
        seen = set()
        for row in rows:
            share = dict(zip((axis.name for axis in self.axes), row, strict=True))
            chosen = self.walk(lambda axis, share=share: axis.domain.at(share[axis.name]))  # type: ignore[misc]
            if (said := repr(sorted(chosen.items()))) not in seen:
                seen.add(said)
                yield chosen

    def order(self, chosen: Mapping[str, Any]) -> tuple[int, ...]:
        """Where a drawn assignment would stand in the grid: its neighbours share its network and encoding."""
        return tuple(_rank(axis, chosen) for axis in self.axes)


def _rank(axis: Axis, chosen: Mapping[str, Any]) -> int:
    if axis.name not in chosen:
        return -1
    if isinstance(axis.domain, Values):
        return axis.domain.values.index(chosen[axis.name])
    return int(_split(chosen[axis.name])[0] * 1_000_000)


def shares(method: str, axes: int, budget: int, seed: int) -> Iterator[Sequence[float]]:
    """Rows of `axes` shares by the method random or sobol (Owen-scrambled), more of them than `budget`."""
    most = 16 * budget
    if method == "random":
        rng = np.random.default_rng(seed)
        yield from (rng.random(axes).tolist() for _ in range(most))
        return
    from scipy.stats import qmc

    sobol = qmc.Sobol(axes, scramble=True, rng=np.random.default_rng(seed))
    power = max(1, (budget - 1).bit_length())
    yield from sobol.random_base2(power).tolist()
    while sobol.num_generated < most:
        yield from sobol.random(2**power).tolist()
