"""The figures of YodaNN: efficiency against throughput over the supply voltage, and efficiency layer by layer."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archs.yodann.sweeps import PUBLISHED
from reports.figures import COLOURS, MARKERS, PAGE_INCHES, Record, canvas, narrow, styled


@styled
def voltage(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """Efficiency against throughput from 0.6 V to 1.2 V, a curve a kernel size, with the paper's two points.

    Shaded: the range of the energy constants.
    """
    figure, (core, chip) = canvas(2, inches, height=2.9)
    first = records[0]["threshold_v"]
    for n, kernel in enumerate(dict.fromkeys(record["kernel"] for record in records)):
        mine = [r for r in records if r["kernel"] == kernel and r["threshold_v"] == first]
        speed = [r["ops_per_s"] / 1e9 for r in mine]
        for axes, key in ((core, "core_ops_per_j"), (chip, "chip_ops_per_j")):
            axes.plot(speed, [r[key] / 1e12 for r in mine], color=COLOURS[n], linewidth=1, marker=MARKERS[n], markersize=3,
                      markevery=[round(r["voltage_v"] * 1000) % 200 == 0 for r in mine], label=kernel)  # fmt: skip
            low, high = ([r[f"{key}_{end}"] / 1e12 for r in mine] for end in ("low", "high"))
            axes.fill_between(speed, low, high, color=COLOURS[n], alpha=0.15, linewidth=0)
        if n == 0:
            for record in (r for r in mine if round(r["voltage_v"] * 1000) % 200 == 0):
                at = record["ops_per_s"] / 1e9, record["core_ops_per_j"] / 1e12
                said = f"{record['voltage_v']:g} V"
                core.annotate(said, at, (5, 3), textcoords="offset points", fontsize=6)
    for number, (_, speed_ops, efficiency) in enumerate(PUBLISHED):
        label = "published" if number == 0 else None
        core.plot(speed_ops / 1e9, efficiency / 1e12, "*", color="black", markersize=8, linestyle="", label=label)
    core.set(title="core", ylabel="TOp/s/W", ylim=(0, None))
    chip.set(title="with pads", ylim=(0, None))
    for axes in (core, chip):
        axes.set(xlabel="GOp/s", xscale="log")
    core.legend(title="kernel")
    return figure


@styled
def layers(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """Efficiency of every layer at the lower voltage, a bar in each accounting; one panel a network."""
    least = min(record["voltage_v"] for record in records)
    mine = [record for record in records if record["voltage_v"] == least]
    names = list(dict.fromkeys(record["network"] for record in mine))
    for axes, name in zip(_panels(figure := Figure(layout="constrained"), mine, names, inches), names, strict=True):
        for n, (accounting, hatch) in enumerate((("paper", ""), ("full", "////"))):
            bars = [r for r in mine if r["network"] == name and r["accounting"] == accounting]
            places = [number + 0.4 * n - 0.2 for number in range(len(bars))]
            low, nominal, high = ([r[f"ops_per_j{end}"] / 1e12 for r in bars] for end in ("_low", "", "_high"))
            spread = [[b - a for a, b in zip(low, nominal)], [b - a for a, b in zip(nominal, high)]]
            axes.bar(
                places, nominal, 0.4, color=COLOURS[n], hatch=hatch, edgecolor="white", label=accounting, linewidth=0
            )
            axes.errorbar(places, nominal, yerr=spread, linestyle="", color="0.25", linewidth=0.5)
        labels = [bar["layer"] for bar in bars]
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=5)
        axes.set_title(name.removesuffix("-yodann"), fontsize=7)
    figure.supylabel(f"core TOp/s/W at {least:g} V", fontsize=8)
    handles, kinds = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, kinds, title="accounting", loc="outside upper right", ncols=2)
    return figure


def _panels(figure: Figure, mine: Sequence[Record], names: Sequence[str], inches: float) -> Sequence[Axes]:
    """One a network, as wide as it has layers; in one column one above the other."""
    sizes = [len({r["layer"] for r in mine if r["network"] == name}) for name in names]
    figure.set_size_inches(inches, 1.35 * len(names) + 0.4 if narrow(inches) else 3.2)
    if narrow(inches):
        return list(figure.subplots(len(names), 1, sharey=True, squeeze=False).reshape(-1))
    return list(figure.subplots(1, len(names), sharey=True, width_ratios=sizes, squeeze=False).reshape(-1))
