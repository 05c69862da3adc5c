"""Figures of runs: bars with their geometric mean, energy and traffic by part, stalls, a timeline, a comparison.

Records come from stored results (`parts`, `shares`), from a timeline (`slices`) or from a comparison's rows (`rows`).
"""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, fsum, log
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, styled
from sim.result import Result

HATCHES = ("", "///", "\\\\\\", "xx", "..", "--", "||", "++", "oo")
CAUSES = {"useful": "#009E73", "starved": "#E69F00", "blocked": "#D55E00", "tail": "#bbbbbb"}
OTHERS = ("#0072B2", "#CC79A7", "#56B4E9", "#882255", "#999933")
KINDS = {"busy": "#009E73", "starved": "#E69F00", "blocked": "#D55E00", "tail": "#cccccc"}
MEAN = "geomean"


def geomean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(fsum(map(log, values)) / len(values))


@styled
def bars(records: Sequence[Record], value: str, ylabel: str) -> Figure:
    """A group of bars a `layer`, one a `machine`, on a log axis, with a group of geometric means (EIE Figs. 6 and 7)."""
    layers = list(dict.fromkeys(r["layer"] for r in records))
    machines = list(dict.fromkeys(r["machine"] for r in records))
    figure, (axes,) = canvas(height=3.0)
    width = 0.86 / len(machines)
    for n, machine in enumerate(machines):
        mine = [next(r[value] for r in records if r["layer"] == layer and r["machine"] == machine) for layer in layers]
        heights = [*mine, geomean(mine)]
        places = [k + (n - (len(machines) - 1) / 2) * width + (k == len(layers)) * 0.3 for k in range(len(heights))]
        axes.bar(
            places,
            heights,
            width * 0.94,
            color=COLOURS[n],
            hatch=HATCHES[n],
            edgecolor="white",
            linewidth=0,
            label=machine,
        )
        mean = heights[-1]
        said = f"{mean:,.0f}" if mean >= 100 else f"{mean:.2g}"
        axes.annotate(
            said, (places[-1], mean), (0, 2), textcoords="offset points", rotation=90, fontsize=5, ha="center"
        )
    axes.set_yscale("log")
    axes.margins(y=0.2)
    ticks = [*range(len(layers)), len(layers) + 0.3]
    axes.set_xticks(ticks, [*layers, MEAN], rotation=30, ha="right", fontsize=7)
    axes.set(ylabel=ylabel)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center", ncols=4 if len(machines) > 4 else len(machines))
    return figure


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
def stacked(records: Sequence[Record], xlabel: str, interval: bool) -> Figure:
    """A bar a run, each part's share of it; its total in words, with its interval where there is one."""
    runs = list(dict.fromkeys(r["run"] for r in records))
    figure, panels = _rows(len(runs))
    for axes, run in zip(panels, runs, strict=True):
        mine = sorted((r for r in records if r["run"] == run and r["amount"]), key=lambda r: -r["amount"])
        total, left = fsum(r["amount"] for r in mine), 0.0
        for n, r in enumerate(mine):
            share = r["amount"] / total
            axes.barh(
                0, share, left=left, color=COLOURS[n], hatch=HATCHES[n], edgecolor="white", linewidth=0, label=r["part"]
            )
            left += share
        axes.set(xlim=(0, 1), yticks=[], ylabel="")
        axes.set_title(f"{run}: {_words(mine, total, interval)}", loc="left", fontsize=7, pad=2)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.25), ncols=2, handlelength=1.2, fontsize=6)
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:.0%}")
    panels[-1].set_xlabel(xlabel)
    return figure


def _rows(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(PAGE_INCHES, 0.62 * count + 0.5), layout="constrained")
    return figure, list(figure.subplots(count, 1, squeeze=False, sharex=True)[:, 0])


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
def waterfall(records: Sequence[Record], title: str) -> Figure:
    """Cycles of each layer, coloured by its largest stall (green: useful), and where its unit-cycles go."""
    layers = list(dict.fromkeys(r["layer"] for r in records))
    causes = list(dict.fromkeys(r["cause"] for r in records if r["share"] > 0.002))
    figure, (left, right) = canvas(2, height=0.24 * len(layers) + 1.2)
    others = [cause for cause in causes if cause not in CAUSES]
    colour = CAUSES | {cause: OTHERS[n % len(OTHERS)] for n, cause in enumerate(others)}
    for k, layer in enumerate(layers):
        mine = [r for r in records if r["layer"] == layer]
        worst, reach = max(mine, key=lambda r: float(r["share"])), 0.0
        left.barh(k, mine[0]["cycles"], 0.7, color=colour[worst["cause"]], hatch=HATCHES[causes.index(worst["cause"])],
                  edgecolor="white", linewidth=0)  # fmt: skip
        for r in mine:
            if r["cause"] in causes:
                right.barh(k, r["share"], 0.7, left=reach, color=colour[r["cause"]], hatch=HATCHES[causes.index(r["cause"])],
                           edgecolor="white", linewidth=0)  # fmt: skip
                reach += r["share"]
    for axes in (left, right):
        axes.set_yticks(range(len(layers)), layers)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    left.set(xlabel="cycles")
    left.set_title(title, loc="left")
    left.xaxis.set_major_formatter(lambda value, position: f"{_pretty(value) if value else '0'}")
    right.set(xlabel="share of unit-cycles", xlim=(0, 1), yticklabels=[])
    patches = [
        Patch(facecolor=colour[cause], hatch=HATCHES[n], edgecolor="white", label=cause.replace("_", " "))
        for n, cause in enumerate(causes)
    ]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(len(patches), 7))
    return figure


@styled
def gantt(records: Sequence[Record], fills: Sequence[Record], title: str) -> Figure:
    """What every stage does in every cycle, and below it how full the FIFOs are."""
    tracks = list(dict.fromkeys(r["track"] for r in records))
    names = list(dict.fromkeys(r["fifo"] for r in fills))
    figure = Figure(figsize=(PAGE_INCHES, 0.13 * len(tracks) + 1.8), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[max(len(tracks) * 0.13, 0.8), 0.9])
    for k, track in enumerate(tracks):
        for kind, colour in KINDS.items():
            spans = [(r["start"], r["end"] - r["start"]) for r in records if r["track"] == track and r["kind"] == kind]
            top.broken_barh(spans, (k - 0.42, 0.84), facecolors=colour, linewidth=0)
    top.set_yticks(range(len(tracks)), tracks, fontsize=5)
    top.set(title=title, ylim=(len(tracks) - 0.5, -0.5))
    top.grid(axis="y", visible=False)
    for n, name in enumerate(names):
        mine = [r for r in fills if r["fifo"] == name]
        below.step([r["cycle"] for r in mine], [r["tokens"] for r in mine], where="post", color=COLOURS[n], linewidth=0.9,
                   label=name)  # fmt: skip
    below.set(xlabel="cycle", ylabel="tokens", xlim=(0, max(r["end"] for r in records)))
    below.legend(ncols=4)
    patches = [Patch(facecolor=colour, label=kind) for kind, colour in KINDS.items()]
    figure.legend(handles=patches, loc="outside upper right", ncols=4)
    return figure


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
             "energy_j": nominal, "high_j": high, "weights_bytes": row["weights_bytes"],
             "top1": seen.get("top1"), "top1_low": span[0], "top1_high": span[1]}
        )  # fmt: skip
    return found


@styled
def compared(records: Sequence[Record], boundary: str) -> Figure:
    """Energy an image with its range, by rank; energy against latency; accuracy against energy."""
    figure, (ladder, spread, accuracy) = canvas(3, height=0.2 * len(records) + 1.3)
    machines = list(dict.fromkeys(r["name"].rsplit(" ", 1)[0] for r in records))
    for k, r in enumerate(records):
        n = machines.index(r["name"].rsplit(" ", 1)[0])
        look: dict[str, Any] = {
            "color": COLOURS[n % len(COLOURS)],
            "marker": MARKERS[n % len(MARKERS)],
            "markersize": 4.5,
        }
        face = "white" if r["name"].endswith("MLP") else look["color"]
        error = [[r["energy_j"] - r["low_j"]], [r["high_j"] - r["energy_j"]]]
        for axes, x, y, xerr in ((ladder, r["energy_j"], k, error), (spread, r["energy_j"], r["latency_s"], error)):
            axes.errorbar([x], [y], xerr=xerr, linestyle="", linewidth=0.8, capsize=1.5, markerfacecolor=face, **look)
        if r["top1"] not in (None, ""):
            high, low = r["top1_high"] - r["top1"], r["top1"] - r["top1_low"]
            accuracy.errorbar([r["energy_j"]], [100 * r["top1"]], yerr=[[100 * low], [100 * high]], linestyle="",
                              linewidth=0.8, capsize=1.5, markerfacecolor=face, **look)  # fmt: skip
    ladder.set_yticks(range(len(records)), [f"{r['name']} ({r['rank']})" for r in records], fontsize=7)
    ladder.invert_yaxis()
    for axes in (ladder, spread, accuracy):
        axes.set(xscale="log", xlabel=f"J/image, {boundary}")
    spread.set(yscale="log", ylabel="latency, s")
    accuracy.set(ylabel="top-1, %")
    kinds = [("CNN", "0.3"), ("MLP", "white")]
    figure.legend(
        handles=[
            Line2D([], [], linestyle="", marker="o", color="0.3", markerfacecolor=face, label=name)
            for name, face in kinds
        ],
        loc="outside upper center",
        ncols=2,
    )
    return figure


@styled
def accuracy(records: Sequence[Record], boundary: str) -> Figure:
    """Accuracy with its 95 % interval against the weights as each machine stores them, and against energy an image.

    Networks of one size lie on top of each other: the later the machine, the smaller its mark.
    """
    seen = [r for r in records if r["top1"] not in (None, "")]
    figure, panels = canvas(2, height=3.0)
    machines = list(dict.fromkeys(r["name"].rsplit(" ", 1)[0] for r in seen))
    for r in seen:
        n = machines.index(r["name"].rsplit(" ", 1)[0])
        look: dict[str, Any] = {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        face = "white" if r["name"].endswith("MLP") else look["color"]
        top, low, high = (100 * r[key] for key in ("top1", "top1_low", "top1_high"))
        for axes, x in zip(panels, (r["weights_bytes"] / 1000, r["energy_j"]), strict=True):
            axes.errorbar([x], [top], yerr=[[top - low], [high - top]], linestyle="", linewidth=0.7, capsize=1.5,
                          markersize=max(7.5 - n, 3), markerfacecolor=face, **look)  # fmt: skip
    panels[0].set(xscale="log", xlabel="weights as stored, kB", ylabel="top-1, % (95 % interval)")
    panels[1].set(xscale="log", xlabel=f"J/image, {boundary}", yticklabels=[], ylim=panels[0].get_ylim())
    handles = [
        Line2D([], [], linestyle="", color=COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)], label=name)
        for n, name in enumerate(machines)
    ]
    for name, face in (("CNN", "0.3"), ("MLP", "white")):
        handles.append(Line2D([], [], linestyle="", marker="o", color="0.3", markerfacecolor=face, label=name))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure
