"""The figure of a study: what its points cost in two objectives, and which of them are worth having."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, styled
from sim.result import UNITS

DECADES = 50
"""Figures that span more than this ratio stand on a logarithmic axis."""


@styled
def pareto(records: Sequence[Record], goals: Sequence[tuple[str, int]], inches: float = PAGE_INCHES * 0.6) -> Figure:
    """Feasible points in grey, those on the front in the colour of their `group`.

    `goals` are two metrics, each with 1 to minimise or -1 to maximise. Three objectives have fronts that are no line.
    """
    (x, _), (y, _) = goals
    figure, (axes,) = canvas(inches=inches, height=3.0)
    axes.scatter([r[x] for r in records], [r[y] for r in records], s=4, color="0.75", linewidths=0, rasterized=True)
    front = sorted((r for r in records if r["front"]), key=lambda r: (r[x], r[y]))
    for n, group in enumerate(dict.fromkeys(r["group"] for r in records)):
        mine = [r for r in front if r["group"] == group]
        colour, marker = COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]
        axes.plot([r[x] for r in mine], [r[y] for r in mine], marker, color=colour, markersize=3.5, label=group)
    for metric, name in ((x, "x"), (y, "y")):
        values = [r[metric] for r in records]
        if min(values) > 0 and max(values) > DECADES * min(values):
            getattr(axes, f"set_{name}scale")("log")
    axes.set(xlabel=_label(*goals[0]), ylabel=_label(*goals[1]))
    axes.legend(title="on the front")
    return figure


def _label(metric: str, sign: int) -> str:
    unit = UNITS.get(metric.partition(".")[0], "")
    return f"{metric}{f', {unit}' if unit else ''} ({'less' if sign > 0 else 'more'} is better)"
