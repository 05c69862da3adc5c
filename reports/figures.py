"""The figures of this literature: one function each, records -> matplotlib Figure.

No pyplot state. Colours are Okabe and Ito's, told apart by colour-blind readers; markers differ too, so that a greyscale
print still reads. `save` writes PDF, SVG and PNG without dates, and the points as CSV: the same records, the same bytes.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.files import write
from sim.result import VERSION

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999933", "#882255")
MARKERS = "osD^vP*Xd"
COLUMN_INCHES = 3.35  # one column of a two-column paper
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


def narrow(inches: float) -> bool:
    """Whether a figure of this width stands in one column."""
    return inches < 4.5


def canvas(panels: int = 1, inches: float = PAGE_INCHES, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure with `panels` axes side by side, each `height` inches; in one column, one above the other."""
    rows, columns = (panels, 1) if narrow(inches) else (1, panels)
    tall = height * (0.8 * rows if rows > 1 else 1)
    figure = Figure(figsize=(inches, tall), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).reshape(-1))


def beside(inches: float) -> dict[str, Any]:
    """Place of a figure's legend: beside it, or in one column above it."""
    return {"loc": "outside upper center", "ncols": 2} if narrow(inches) else {"loc": "outside right center"}


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
def save(figure: Figure, records: Sequence[Record], path: Path, source: str) -> list[Path]:
    """Write `path`.pdf, .svg, .png and .csv; `source` (the command that remakes it) stands in small print below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.supxlabel(f"tapeout {VERSION}: {source}", fontsize=5, color="0.5", x=0.01, ha="left")
    meta: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    made = []
    for kind, about in meta.items():
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, dpi=200, metadata=about)
        write(path.with_suffix(f".{kind}"), picture.getvalue())
        made.append(path.with_suffix(f".{kind}"))
    table = io.StringIO()
    writer = csv.DictWriter(table, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write(path.with_suffix(".csv"), table.getvalue())
    return [*made, path.with_suffix(".csv")]
