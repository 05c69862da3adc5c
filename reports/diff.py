"""Two results side by side: which setting, which layer, which stall, which memory changed.

Every figure that is a number in both, or in one of them, is a `Change`; equal ones are left out. Nothing is judged: a
change of one cycle is a change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reports.tables import columns
from sim.result import UNITS, Result
from sim.units import show

TOTAL = "total"
LAYER_LINES = 12
WORDS = ("name", "op", "op_width", "skipped", "boundary")
UNPRICED = ("energy_movers_j",)
"""Figures that are no amounts of their own: a spread of prices."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one layer (or of the total): `figure` is its key, dotted; None where it is not there at all."""

    layer: str
    figure: str
    before: float | None
    after: float | None

    @property
    def amount(self) -> float:
        """After minus before; what is absent counts as zero."""
        return (self.after or 0) - (self.before or 0)

    @property
    def unit(self) -> str:
        """The unit of the figure."""
        return UNITS.get(self.figure.partition(".")[0], "")


@dataclass(frozen=True, slots=True)
class Difference:
    """All that changed. `settings` maps a setting, or a fact of the run, to what it was and is."""

    before: Result
    after: Result
    settings: dict[str, tuple[Any, Any]]
    changes: list[Change]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "before": self.before.digest,
            "after": self.after.digest,
            "settings": {name: {"before": old, "after": new} for name, (old, new) in self.settings.items()},
            "changes": [asdict(c) | {"amount": c.amount, "unit": c.unit} for c in self.changes],
        }


def diff(before: Result, after: Result) -> Difference:
    """Compare two results, figure by figure."""
    return Difference(before, after, _settings(before.data, after.data), list(_changes(before, after)))


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = _facts(before), _facts(after)
    return {name: (old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name)}


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, and what was proven."""
    equal = data["equivalence"]
    facts = {"version": data["version"], "arch": data["arch"]["name"], "workload": data["workload"]["name"]}
    facts |= {"workload bytes": data["workload"]["sha256"][:12], "images": data["images"], "seed": data["seed"]}
    facts |= {"engine": data["engine"], "numbers equal": equal and equal["passed"]}
    return facts | {f"{data['arch']['name']}.{name}": value for name, value in data["arch"]["config"].items()}


def _changes(before: Result, after: Result) -> Iterator[Change]:
    old, new = (_tables(result) for result in (before, after))
    for layer in old | new:
        was, now = old.get(layer, {}), new.get(layer, {})
        for figure in was | now:
            if was.get(figure) != now.get(figure):
                yield Change(layer, figure, was.get(figure), now.get(figure))


def _tables(result: Result) -> dict[str, dict[str, float]]:
    """Every number by layer and dotted figure."""
    named = {layer["name"]: dict(_numbers(layer)) for layer in result.layers}
    return {TOTAL: dict(_numbers(result.total))} | named


def _numbers(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from () if name in UNPRICED else _numbers(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            yield from ((f"{above}{name}.{n}", part) for n, part in enumerate(value) if isinstance(part, int | float))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{name}", value


def table(found: Difference) -> str:
    """In words and columns: settings, the total, then layers by how much of the time they changed."""
    names = [f"{r.data['workload']['name']} on {r.data['arch']['name']}" for r in (found.before, found.after)]
    lines = [f"before: {names[0]}, result {found.before.digest}", f"after:  {names[1]}, result {found.after.digest}"]
    if not found.settings and not found.changes:
        return "\n".join([*lines, "no figure differs"])
    settings = [(name, _word(old), _word(new)) for name, (old, new) in found.settings.items()]
    if settings:
        lines += ["", columns(("changed", "before", "after"), settings)]
    if not found.changes:
        return "\n".join([*lines, "", "no figure differs"])
    total = [(_name(c), _value(c, c.before), _value(c, c.after), _relative(c)) for c in _told(found, TOTAL)]
    if total:
        lines += ["", columns(("total", "before", "after", "change"), total)]
    return "\n".join([*lines, "", *_layers(found)])


def _told(found: Difference, layer: str) -> list[Change]:
    """A layer's changes that say something of their own: no figures derived from time and energy."""
    derived = (
        "ops_per",
        "dense_ops",
        "images_per",
        "power_w",
        "energy_by_boundary",
        "energy_interval_j.1",
        "unit_cycles",
    )
    return [c for c in found.changes if c.layer == layer and not c.figure.startswith(derived)]


def _layers(found: Difference) -> list[str]:
    """A line a layer: cycles, the stall that moved most, the memory that moved most, energy."""
    names = dict.fromkeys(change.layer for change in found.changes if change.layer != TOTAL)
    if not names:
        return ["no layer differs"]
    by_layer = {name: [c for c in found.changes if c.layer == name] for name in names}
    order = sorted(names, key=lambda name: -abs(_sum(by_layer[name], "cycles")))
    rows = [_layer(name, by_layer[name]) for name in order[:LAYER_LINES]]
    head = ("layer", "cycles before", "after", "change", "stall that moved most", "memory that moved most", "energy")
    hidden = len(order) - LAYER_LINES
    return [columns(head, rows), *([f"and {hidden} more layers (--json has all)"] if hidden > 0 else [])]


def _layer(name: str, changes: list[Change]) -> tuple[str, ...]:
    cycles = next((c for c in changes if c.figure == "cycles"), None)
    spent = (
        (_value(cycles, cycles.before), _value(cycles, cycles.after), _relative(cycles)) if cycles else ("same", "", "")
    )
    return name, *spent, _most(changes, "stalls"), _most(changes, "traffic_bytes"), _energy(changes)


def _most(changes: list[Change], group: str) -> str:
    """`starved +3,200 unit-cycles`: the largest change of a group of figures."""
    mine = [change for change in changes if change.figure.startswith(f"{group}.")]
    if not mine:
        return "same"
    most = max(mine, key=lambda change: abs(change.amount))
    return f"{most.figure.removeprefix(f'{group}.')} {_signed(most)}"


def _energy(changes: list[Change]) -> str:
    amount = _sum(changes, "energy_j")
    return f"{'+' if amount > 0 else ''}{show(amount, 'J')}" if amount else "same"


def _sum(changes: list[Change], figure: str) -> float:
    return sum(c.amount for c in changes if c.figure == figure or c.figure.startswith(f"{figure}."))


def _signed(change: Change) -> str:
    amount = change.amount
    text = show(float(amount), "B") if change.unit == "B" else f"{amount:,.0f} {change.unit}s"
    return text if amount < 0 else f"+{text}"


def _name(change: Change) -> str:
    ends = {"energy_interval_j.0": "energy, lowest", "energy_interval_j.2": "energy, highest"}
    return ends.get(change.figure, change.figure)


def _value(change: Change, value: float | None) -> str:
    if value is None:
        return "-"
    if change.unit in ("s", "J", "W", "B", "m2"):
        return show(float(value), change.unit)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _relative(change: Change) -> str:
    if change.before is None or change.after is None:
        return "new" if change.before is None else "gone"
    return f"{change.after / change.before - 1:+.1%}" if change.before else "from 0"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)
