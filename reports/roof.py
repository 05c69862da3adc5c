"""Roofline: what a device could do at each precision, what its memory lets through, and what networks reach."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, narrow, styled


@styled
def roofline(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """`kind` is `roof` (precision, ops_per_s), `memory` (ops_per_s: bytes/s) or `run` (intensity in operations/byte)."""
    figure, (axes,) = canvas(inches=inches * (1 if narrow(inches) else 0.7), height=3.2)
    runs = [r for r in records if r["kind"] == "run"]
    roofs = sorted((r for r in records if r["kind"] == "roof"), key=lambda r: -r["ops_per_s"])
    bandwidth = next(r["ops_per_s"] for r in records if r["kind"] == "memory")
    left = min(min(r["intensity"] for r in runs), roofs[-1]["ops_per_s"] / bandwidth) / 4
    right = max(max(r["intensity"] for r in runs), roofs[0]["ops_per_s"] / bandwidth) * 6
    for n, roof in enumerate(roofs):
        knee = roof["ops_per_s"] / bandwidth
        axes.plot([knee, right], [roof["ops_per_s"]] * 2, color=COLOURS[n], linewidth=1.2)
        said = f"{roof['name']}: {roof['ops_per_s'] / 1e9:,.0f} GOp/s"
        axes.annotate(said, (right, roof["ops_per_s"]), (-3, 2), textcoords="offset points", ha="right", fontsize=6)
    top = roofs[0]["ops_per_s"] / bandwidth
    axes.plot([left, top], [left * bandwidth, top * bandwidth], color="0.4", linewidth=1.2)
    memory = next(r["name"] for r in records if r["kind"] == "memory")
    axes.annotate(memory, (left * 2, left * 2 * bandwidth), (4, -8), textcoords="offset points", fontsize=6)
    for n, run in enumerate(runs):
        axes.plot(
            [run["intensity"]], [run["ops_per_s"]], MARKERS[n % len(MARKERS)], color=COLOURS[n % len(COLOURS)], markersize=5,
            linestyle="", label=run["name"],
        )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=(left, right), xlabel="operations a byte of DRAM", ylabel="operations/s, dense"
    )
    axes.legend(loc="upper left")
    return figure
