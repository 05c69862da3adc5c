"""The figures of this literature: one function each, records -> matplotlib Figure.

No pyplot state. Colours are Okabe and Ito's, told apart by colour-blind readers; markers differ too, so that a greyscale
print still reads. `save` writes PDF, SVG and PNG without dates, and the points as CSV: the same records, the same bytes.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.result import VERSION

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999933", "#882255")
MARKERS = "osD^vP*Xd"
COLUMN_INCHES = 3.5  # one column of a two-column paper
PAGE_INCHES = 7.2

Record = Mapping[str, Any]
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "svg.hashsalt": "tapeout",
    "pdf.fonttype": 42,
}


styled = mpl.rc_context(STYLE)
"""Decorates every function that draws: the style holds there and nowhere else."""


def canvas(panels: int = 1, inches: float = PAGE_INCHES, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure with `panels` axes side by side."""
    figure = Figure(figsize=(inches, height), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def curves(axes: Axes, records: Iterable[Record], x: str, y: str, by: str) -> None:
    """A line per value of `by`, in order of appearance, each with a colour and a marker of its own."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(record[by]), []).append(record)
    for n, (name, mine) in enumerate(groups.items()):
        axes.plot(
            [r[x] for r in mine],
            [r[y] for r in mine],
            label=name,
            color=COLOURS[n % len(COLOURS)],
            marker=MARKERS[n % len(MARKERS)],
            markersize=3,
            linewidth=1,
        )


def logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """A base-two x axis ticked at exactly these values."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


@styled
def queue_depth(records: Sequence[Record]) -> Figure:
    """EIE Fig. 8: load balance against usable queue slots."""
    slots = [record for record in records if record["axis"] == "slots"]
    figure, (axes,) = canvas(inches=PAGE_INCHES * 0.7)
    curves(axes, slots, "depth", "load_balance", "layer")
    logarithmic(axes, sorted({r["depth"] for r in slots}))
    axes.set(xlabel="usable queue slots per PE", ylabel="load balance", ylim=(0, 1.02))
    axes.axvline(7, color="0.5", linestyle=":", linewidth=1)
    axes.annotate("the paper's ring of 8", (7, 0.03), (8, 0.03), fontsize=7, color="0.3")
    figure.legend(loc="outside right center")
    return figure


@styled
def pe_scaling(records: Sequence[Record]) -> Figure:
    """EIE Figs 11-13: speed-up, share of real work and load balance against the number of PEs."""
    figure, panels = canvas(3, height=2.9)
    counts = sorted({r["pes"] for r in records})
    for axes, key, label in zip(
        panels,
        ("speedup", "real_work", "load_balance"),
        ("speed-up over 1 PE", "real / stored entries", "load balance"),
        strict=True,
    ):
        curves(axes, records, "pes", key, "layer")
        logarithmic(axes, counts)
        axes.set_xticks(counts[::2], [str(n) for n in counts[::2]])
        axes.set(xlabel="PEs", ylabel=label)
        if key != "speedup":
            axes.set_ylim(0, 1.02)
    panels[0].set_yscale("log", base=2)
    panels[0].plot(counts, counts, color="0.6", linestyle="--", linewidth=0.8, label="linear")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


@styled
def sram_width(records: Sequence[Record]) -> Figure:
    """EIE Fig. 9: reads, energy of a read and total energy against the matrix SRAM's width, AlexNet together."""
    mine = [r for r in records if r["layer"].startswith("alexnet")]
    widths = sorted({r["width_bits"] for r in mine})
    reads = [sum(r["reads"] for r in mine if r["width_bits"] == width) for width in widths]
    energy = [sum(r["total_j"] for r in mine if r["width_bits"] == width) for width in widths]
    each = [next(r["read_j"] for r in mine if r["width_bits"] == width) for width in widths]
    figure, (left, right) = canvas(2)
    left.plot(widths, [n / 1e3 for n in reads], color=COLOURS[0], marker="o", markersize=3, label="reads")
    left.set(ylabel="reads, thousands", ylim=(0, None))
    price = left.twinx()
    price.plot(widths, [j * 1e12 for j in each], color=COLOURS[1], marker="s", markersize=3, label="energy of a read")
    price.set(ylabel="pJ per read", ylim=(0, None))
    price.grid(visible=False)
    right.plot(widths, [j * 1e6 for j in energy], color=COLOURS[2], marker="D", markersize=3)
    right.set(ylabel="matrix reads, uJ", ylim=(0, None))
    best = min(range(len(widths)), key=lambda n: energy[n])
    right.annotate(f"least at {widths[best]} bits", (widths[best], energy[best] * 9e5), ha="center", va="top")
    for axes in (left, right):
        logarithmic(axes, widths)
        axes.set_xlabel("SRAM width, bits")
    handles = [*left.get_legend_handles_labels()[0], *price.get_legend_handles_labels()[0]]
    left.legend(handles, ["reads", "energy of a read"], loc="upper center")
    return figure


@styled
def storage_transfer(records: Sequence[Record]) -> Figure:
    """Fused layers (Alwani et al., MICRO 2016): transfer against storage of every partition, its front and points A, C."""
    figure, (axes,) = canvas(inches=COLUMN_INCHES)
    kilo, mebi = 1000, 1 << 20
    axes.scatter(
        [r["storage_bytes"] / kilo for r in records],
        [r["transfer_bytes"] / mebi for r in records],
        color=COLOURS[4], marker="o", s=8, label="partitions",
    )  # fmt: skip
    best = [r for r in records if r["front"]]
    axes.step(
        [r["storage_bytes"] / kilo for r in best],
        [r["transfer_bytes"] / mebi for r in best],
        where="post", color=COLOURS[1], marker="s", markersize=3, linewidth=1, label="front",
    )  # fmt: skip
    for record in records:
        if record["point"]:
            at = (record["storage_bytes"] / kilo, record["transfer_bytes"] / mebi)
            axes.annotate(record["point"], at, xytext=(4, 4), textcoords="offset points", fontweight="bold")
    axes.margins(x=0.1, y=0.1)
    axes.set(xlabel="carried on chip, kB", ylabel="feature maps moved, MiB an image", ylim=(0, None))
    axes.legend()
    return figure


@styled
def save(figure: Figure, records: Sequence[Record], path: Path, source: str) -> list[Path]:
    """Write `path`.pdf, .svg, .png and .csv; `source` (the command that remakes it) stands in small print below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.supxlabel(f"tapeout {VERSION}: {source}", fontsize=5, color="0.5", x=0.01, ha="left")
    meta: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    made = []
    for kind, about in meta.items():
        figure.savefig(path.with_suffix(f".{kind}"), dpi=200, metadata=about)
        made.append(path.with_suffix(f".{kind}"))
    with open(path.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return [*made, path.with_suffix(".csv")]
