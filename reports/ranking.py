"""Figures of a comparison: energy an image by rank, against latency, accuracy and size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, narrow, styled

Ends = tuple[float, float, float]
"""Low, nominal, high."""


def rows(compared: Sequence[Mapping[str, Any]], boundary: str = "system", rule: str = "raw") -> list[dict[str, Any]]:
    """A record an entry of a comparison (reports.compare.records) that ran everything."""
    found = []
    for row in compared:
        if row.get("rank", "-") == "-":
            continue
        low, nominal, high = row["energy_j"][boundary][rule]
        seen = row["accuracy"] or {}
        span = seen.get("interval95", (None, None))
        found.append(
            {"name": row["name"], "kind": row["kind"], "rank": row["rank"], "latency_s": row["latency_s"], "low_j": low,
             "energy_j": nominal, "high_j": high, "images_per_s": row["compared_at_images_per_s"],
             "weights_bytes": row["weights_bytes"],
             "top1": seen.get("top1"), "top1_low": span[0], "top1_high": span[1]}
        )  # fmt: skip
    return found


@styled
def compared(records: Sequence[Record], boundary: str, inches: float = PAGE_INCHES) -> Figure:
    """Energy an image with its range, by rank; energy against latency; accuracy against energy."""
    height = 0.2 * len(records) + 1.3
    figure, (ladder, spread, accuracy) = canvas(3, inches, min(height, 2.6) if narrow(inches) else height)
    for k, (r, look) in enumerate(_looks(records)):
        joules = (r["low_j"], r["energy_j"], r["high_j"])
        _mark(ladder, joules, (k, k, k), look)
        _mark(spread, joules, (r["latency_s"],) * 3, look)
        if r["top1"] not in (None, ""):
            _mark(accuracy, joules, _percent(r), look)
    ladder.set_yticks(range(len(records)), [f"{r['name']} ({r['rank']})" for r in records], fontsize=7)
    ladder.invert_yaxis()
    for axes in (ladder, spread, accuracy):
        axes.set(xscale="log", xlabel=f"J/image, {boundary}")
    spread.set(yscale="log", ylabel="latency, s")
    accuracy.set(ylabel="top-1, % (95 % interval)")
    figure.legend(handles=_kinds(), loc="outside upper center", ncols=2)
    return figure


@styled
def accuracy(records: Sequence[Record], boundary: str, inches: float = PAGE_INCHES) -> Figure:
    """Accuracy with its 95 % interval against the weights as each machine stores them, and against energy an image.

    Networks of one size lie on top of each other: the later the machine, the smaller its mark.
    """
    figure, panels = canvas(2, inches, height=3.0)
    handles: dict[str, Line2D] = {}
    for r, look in _looks([r for r in records if r["top1"] not in (None, "")]):
        look |= {"markersize": max(7.5 - len(handles), 3)}
        handles.setdefault(machine(r), Line2D([], [], linestyle="", color=look["color"], marker=look["marker"]))
        size = r["weights_bytes"] / 1000
        _mark(panels[0], (size, size, size), _percent(r), look)
        _mark(panels[1], (r["low_j"], r["energy_j"], r["high_j"]), _percent(r), look)
    for axes, label in zip(panels, ("weights as stored, kB", f"J/image, {boundary}"), strict=True):
        axes.set(xscale="log", xlabel=label, ylabel="top-1, % (95 % interval)")
    for name, handle in handles.items():
        handle.set_label(name)
    every = [*handles.values(), *_kinds()]
    figure.legend(handles=every, loc="outside upper center", ncols=3 if narrow(inches) else len(every))
    return figure


def machine(record: Record) -> str:
    """`yodann 0.6 V` of the entry `yodann 0.6 V CNN`."""
    return str(record["name"]).rsplit(" ", 1)[0]


def _looks(records: Sequence[Record]) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Every record with its marker: a colour and a shape a machine, hollow for an MLP."""
    names = list(dict.fromkeys(map(machine, records)))
    for r in records:
        n = names.index(machine(r))
        colour, shape = COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]
        face = "white" if r["name"].endswith("MLP") else colour
        yield r, {"color": colour, "marker": shape, "markersize": 4.5, "markerfacecolor": face}


def _kinds() -> list[Line2D]:
    looks = (("CNN", "0.3"), ("MLP", "white"))
    return [Line2D([], [], linestyle="", marker="o", color="0.3", markerfacecolor=f, label=name) for name, f in looks]


def _percent(record: Record) -> Ends:
    return 100 * record["top1_low"], 100 * record["top1"], 100 * record["top1_high"]


def _mark(axes: Axes, x: Ends, y: Ends, look: Mapping[str, Any]) -> None:
    """A point with the ranges of both its values (low, nominal, high)."""
    errors = [[[mid - low], [high - mid]] if high > low else None for low, mid, high in (x, y)]
    axes.errorbar([x[1]], [y[1]], xerr=errors[0], yerr=errors[1], linestyle="", linewidth=0.8, capsize=1.5, **look)
