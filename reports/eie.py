"""The figures of EIE: load balance against queue depth, scaling over PEs, SRAM width against energy (Figs 8, 9, 11-13)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import COLOURS, PAGE_INCHES, Record, beside, canvas, curves, logarithmic, narrow, styled


@styled
def queue_depth(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """EIE Fig. 8: load balance against usable queue slots."""
    slots = [record for record in records if record["axis"] == "slots"]
    figure, (axes,) = canvas(inches=inches * (1 if narrow(inches) else 0.7), height=3.2 if narrow(inches) else 2.6)
    curves(axes, slots, "depth", "load_balance", "layer")
    logarithmic(axes, sorted({r["depth"] for r in slots}))
    axes.set(xlabel="usable queue slots per PE", ylabel="load balance", ylim=(0, 1.02))
    axes.axvline(7, color="0.5", linestyle=":", linewidth=1)
    axes.annotate("the paper's ring of 8", (7, 0.03), (8, 0.03), fontsize=7, color="0.3")
    figure.legend(**beside(inches))
    return figure


@styled
def pe_scaling(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """EIE Figs 11-13: speed-up, share of real work and load balance against the number of PEs."""
    figure, panels = canvas(3, inches, height=2.9)
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
    figure.legend(handles, labels, loc="outside upper center", ncols=2 if narrow(inches) else 5)
    return figure


@styled
def sram_width(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """EIE Fig. 9: reads, energy of a read and total energy against the matrix SRAM's width, AlexNet together."""
    mine = [r for r in records if r["layer"].startswith("alexnet")]
    widths = sorted({r["width_bits"] for r in mine})
    reads = [sum(r["reads"] for r in mine if r["width_bits"] == width) for width in widths]
    prices = [next(r for r in mine if r["width_bits"] == width) for width in widths]
    each = [[price[key] * 1e12 for price in prices] for key in ("read_low_j", "read_j", "read_high_j")]
    energy = [[joule * count / 1e6 for joule, count in zip(end, reads, strict=True)] for end in each]
    figure, (left, right) = canvas(2, inches)
    left.plot(widths, [n / 1e3 for n in reads], color=COLOURS[0], marker="o", markersize=3)
    left.set(ylabel="reads, thousands", ylim=(0, None))
    price = left.twinx()
    _ranged(price, widths, each, COLOURS[1], "s")
    price.set(ylabel="pJ per read", ylim=(0, None))
    price.grid(visible=False)
    _ranged(right, widths, energy, COLOURS[2], "D")
    right.set(ylabel="matrix reads, uJ", ylim=(0, None))
    best = min(range(len(widths)), key=lambda n: energy[1][n])
    right.annotate(f"least at {widths[best]} bits", (widths[best], energy[0][best]), (0, -8), ha="center", va="top",
                   textcoords="offset points")  # fmt: skip
    for axes in (left, right):
        logarithmic(axes, widths)
        axes.set_xlabel("SRAM width, bits")
    marks = (("o", COLOURS[0], "reads"), ("s", COLOURS[1], "energy of a read, with its range"))
    handles = [Line2D([], [], color=colour, marker=mark, markersize=3, label=name) for mark, colour, name in marks]
    left.legend(handles=handles, loc="upper center")
    return figure


def _ranged(axes: Axes, x: Sequence[float], ends: Sequence[Sequence[float]], colour: str, marker: str) -> None:
    """A line with the range of its constants: low, nominal, high."""
    low, nominal, high = ends
    error = [[b - a for a, b in zip(low, nominal, strict=True)], [b - a for a, b in zip(nominal, high, strict=True)]]
    axes.errorbar(x, nominal, yerr=error, color=colour, marker=marker, markersize=3, linewidth=1, capsize=2)
