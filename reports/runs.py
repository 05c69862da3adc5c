"""Figures of runs: bars with their geometric mean, energy and traffic by part, stalls. Records come from stored results."""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, fsum, log
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, narrow, styled
from sim.result import Result

HATCHES = ("", "///", "\\\\\\", "xx", "..", "--", "||", "++", "oo")
CAUSES = {"useful": "#009E73", "starved": "#E69F00", "blocked": "#D55E00", "tail": "#bbbbbb"}
OTHERS = ("#0072B2", "#CC79A7", "#56B4E9", "#882255", "#999933")
MEAN = "geomean"


def geomean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(fsum(map(log, values)) / len(values))


@styled
def bars(records: Sequence[Record], value: str, label: str, inches: float = PAGE_INCHES) -> Figure:
    """A group of bars a `layer`, one a `machine`, on a log axis, with a group of geometric means (EIE Figs. 6 and 7).

    In one column the bars would be hairlines: marks instead, a row a layer. Records with `low` and `high` show them.
    """
    layers = list(dict.fromkeys(r["layer"] for r in records))
    machines = list(dict.fromkeys(r["machine"] for r in records))
    found = {(r["machine"], r["layer"]): r for r in records}
    sums = [geomean([found[machine, layer][value] for layer in layers]) for machine in machines]
    if narrow(inches):
        return _dots(found, layers, machines, sums, value, label, inches)
    figure, (axes,) = canvas(inches=inches, height=3.0)
    width = 0.86 / len(machines)
    for n, machine in enumerate(machines):
        mine = [found[machine, layer] for layer in layers]
        places = [k + (n - (len(machines) - 1) / 2) * width + (k == len(layers)) * 0.3 for k in range(len(layers) + 1)]
        look = {"color": COLOURS[n], "hatch": HATCHES[n], "edgecolor": "white", "linewidth": 0, "label": machine}
        axes.bar(places, [*(r[value] for r in mine), sums[n]], width * 0.94, **look)
        _ranges(axes, places, mine, value, "yerr")
        said = f"{sums[n]:,.0f}" if sums[n] >= 100 else f"{sums[n]:.2g}"
        at = (places[-1], sums[n])
        axes.annotate(said, at, (0, 2), textcoords="offset points", rotation=90, fontsize=5, ha="center")
    axes.set_yscale("log")
    axes.margins(y=0.2)
    ticks = [*range(len(layers)), len(layers) + 0.3]
    axes.set_xticks(ticks, [*layers, MEAN], rotation=30, ha="right", fontsize=7)
    axes.set(ylabel=label)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center", ncols=4 if len(machines) > 4 else len(machines))
    return figure


def _dots(
    found: Mapping[tuple[str, str], Record], layers: Sequence[str], machines: Sequence[str], sums: Sequence[float],
    value: str, label: str, inches: float,
) -> Figure:  # fmt: skip
    """The same, a mark for a bar and a row for a group."""
    figure, (axes,) = canvas(inches=inches, height=0.24 * len(layers) + 1.3)
    for n, machine in enumerate(machines):
        mine = [found[machine, layer] for layer in layers]
        look: dict[str, Any] = {
            "color": COLOURS[n],
            "marker": MARKERS[n],
            "markersize": 4.5,
            "markerfacecolor": "none",
            "label": machine,
        }
        axes.plot([*(r[value] for r in mine), sums[n]], range(len(layers) + 1), linestyle="", **look)
        _ranges(axes, range(len(layers)), mine, value, "xerr")
    axes.set(xscale="log", xlabel=label, ylim=(len(layers) + 0.5, -0.5))
    axes.set_yticks(range(len(layers) + 1), [*layers, MEAN], fontsize=7)
    axes.axhline(len(layers) - 0.5, color="0.6", linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _ranges(axes: Axes, places: Sequence[float], mine: Sequence[Record], value: str, way: str) -> None:
    """Error bars of records that have a `low` and a `high`."""
    if not all(r.get("low") for r in mine):
        return
    at, values = list(places)[: len(mine)], [r[value] for r in mine]
    ends: dict[str, Any] = {way: [[r[value] - r["low"] for r in mine], [r["high"] - r[value] for r in mine]]}
    x, y = (at, values) if way == "yerr" else (values, at)
    axes.errorbar(x, y, linestyle="", color="0.25", linewidth=0.6, capsize=1.2, **ends)


def parts(results: Mapping[str, Result], key: str) -> Iterator[dict[str, Any]]:
    """A record a part of `energy_by_component_j` or `traffic_bytes`, for one image; memories' names for traffic."""
    for label, result in results.items():
        images, sums = result.data["images"], dict[str, float]()
        for name, amount in result.total[key].items():
            part = name.partition(".")[0] if key == "traffic_bytes" else name
            sums[part] = sums.get(part, 0.0) + amount / images
        low, nominal, high = result.total["energy_interval_j"]
        for part, amount in sums.items():
            yield {
                "run": label,
                "part": part,
                "amount": amount,
                "low": low / images,
                "nominal": nominal / images,
                "high": high / images,
            }


@styled
def stacked(records: Sequence[Record], xlabel: str, interval: bool, inches: float = PAGE_INCHES) -> Figure:
    """A bar a run, each part's share of it; its total in words, with its interval where there is one."""
    runs = list(dict.fromkeys(r["run"] for r in records))
    tall = 1.0 if narrow(inches) else 0.62
    figure = Figure(figsize=(inches, tall * len(runs) + 0.5), layout="constrained")
    panels = figure.subplots(len(runs), 1, squeeze=False, sharex=True)[:, 0]
    for axes, run in zip(panels, runs, strict=True):
        mine = sorted((r for r in records if r["run"] == run and r["amount"]), key=lambda r: -r["amount"])
        total, left = fsum(r["amount"] for r in mine), 0.0
        for n, r in enumerate(mine):
            share, look = r["amount"] / total, {"color": COLOURS[n % len(COLOURS)], "hatch": HATCHES[n % len(HATCHES)]}
            axes.barh(0, share, left=left, edgecolor="white", linewidth=0, label=r["part"], **look)
            left += share
        axes.set(xlim=(0, 1), yticks=[], ylabel="")
        between = ":\n" if narrow(inches) else ": "
        axes.set_title(f"{run}{between}{_words(mine, total, interval)}", loc="left", fontsize=7, pad=2)
        below = -1.15 if axes is panels[-1] else -0.1  # under the ticks of the last one
        place = (0.0, below) if narrow(inches) else (1.0, 1.25)
        axes.legend(
            loc="upper left", bbox_to_anchor=place, ncols=3 if narrow(inches) else 2, handlelength=1.2, fontsize=6
        )
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:.0%}")
    panels[-1].set_xlabel(xlabel)
    return figure


def _words(mine: Sequence[Record], total: float, interval: bool) -> str:
    unit = "J" if interval else "B"
    said = f"{_pretty(total)}{unit}"
    return f"{said} ({_pretty(mine[0]['low'])}{unit} to {_pretty(mine[0]['high'])}{unit})" if interval else said


def _pretty(value: float) -> str:
    for power, prefix in ((9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "u"), (-9, "n"), (-12, "p")):
        if value >= 10.0**power:
            return f"{value / 10.0**power:.3g} {prefix}"
    return f"{value:.3g} "


def shares(result: Result) -> Iterator[dict[str, Any]]:
    """A record a layer and cause: its share of unit-cycles, `useful` first; `cycles` are the layer's."""
    for layer in result.layers:
        if "skipped" in layer or not layer["cycles"] or not layer["units"]:
            continue
        slots = layer["units"] * layer["cycles"]
        for cause, amount in {"useful": layer["unit_cycles_useful"], **layer["stalls"]}.items():
            yield {"layer": layer["name"], "cycles": layer["cycles"], "cause": cause, "share": amount / slots}


@styled
def waterfall(records: Sequence[Record], title: str, inches: float = PAGE_INCHES) -> Figure:
    """Cycles of each layer, coloured by its largest stall (green: useful), and where its unit-cycles go."""
    layers = list(dict.fromkeys(r["layer"] for r in records))
    looks = _causes(records)
    figure = Figure(figsize=(inches, 0.24 * len(layers) + (1.5 if narrow(inches) else 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for k, layer in enumerate(layers):
        mine = [r for r in records if r["layer"] == layer]
        worst, reach = max(mine, key=lambda r: float(r["share"])), 0.0
        left.barh(k, mine[0]["cycles"], 0.7, **looks[worst["cause"]])
        for r in (r for r in mine if r["cause"] in looks):
            right.barh(k, r["share"], 0.7, left=reach, **looks[r["cause"]])
            reach += r["share"]
    left.set_yticks(range(len(layers)), layers)
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    left.set(xlabel="cycles")
    left.xaxis.set_major_formatter(lambda value, position: f"{_pretty(value) if value else '0'}")
    left.xaxis.set_major_locator(MaxNLocator(4))
    right.set(xlabel="share of unit-cycles", xlim=(0, 1))
    right.xaxis.set_major_formatter(lambda value, position: f"{value:.0%}")
    right.set_xticks([0, 0.5, 1])
    patches = [Patch(label=cause.replace("_", " "), **look) for cause, look in looks.items()]
    columns = min(len(patches), 3 if narrow(inches) else 7)
    figure.legend(handles=patches, title=title, loc="outside upper center", ncols=columns)
    return figure


def _causes(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Colour and hatch of every cause that is seen."""
    causes = list(dict.fromkeys(r["cause"] for r in records if r["share"] > 0.002))
    others = [cause for cause in causes if cause not in CAUSES]
    colour = CAUSES | {cause: OTHERS[n % len(OTHERS)] for n, cause in enumerate(others)}
    return {
        cause: {"facecolor": colour[cause], "hatch": HATCHES[n % len(HATCHES)], "edgecolor": "white", "linewidth": 0}
        for n, cause in enumerate(causes)
    }
