"""The figures of YodaNN: efficiency against throughput over the supply voltage, and efficiency layer by layer."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from archs.yodann.sweeps import PUBLISHED
from reports.figures import COLOURS, PAGE_INCHES, Record, canvas, styled


@styled
def voltage(records: Sequence[Record]) -> Figure:
    """Core efficiency against throughput from 0.6 V to 1.2 V, a curve a kernel size, with the paper's two points."""
    figure, (core, chip) = canvas(2, height=2.9)
    first = records[0]["threshold_v"]
    for n, kernel in enumerate(dict.fromkeys(record["kernel"] for record in records)):
        mine = [r for r in records if r["kernel"] == kernel and r["threshold_v"] == first]
        speed = [r["ops_per_s"] / 1e9 for r in mine]
        for axes, key in ((core, "core_ops_per_j"), (chip, "chip_ops_per_j")):
            axes.plot(speed, [r[key] / 1e12 for r in mine], color=COLOURS[n], linewidth=1, label=kernel)
            for record in mine:
                if round(record["voltage_v"] * 1000) in (600, 800, 1000, 1200):
                    axes.plot(record["ops_per_s"] / 1e9, record[key] / 1e12, "o", color=COLOURS[n], markersize=2.5)
                    if kernel == "7x7" and axes is core:
                        at = record["ops_per_s"] / 1e9, record[key] / 1e12
                        axes.annotate(
                            f"{record['voltage_v']:g} V", at, (-21, -7), textcoords="offset points", fontsize=6
                        )
    for number, (_, speed_ops, efficiency) in enumerate(PUBLISHED):
        label = "published" if number == 0 else None
        core.plot(speed_ops / 1e9, efficiency / 1e12, "*", color="black", markersize=8, label=label)
    core.set(title="core", ylabel="TOp/s/W", ylim=(0, None))
    chip.set(title="with pads", ylim=(0, None))
    for axes in (core, chip):
        axes.set(xlabel="GOp/s", xscale="log")
    core.legend(title="kernel")
    return figure


@styled
def layers(records: Sequence[Record]) -> Figure:
    """Efficiency of every layer at the lower voltage, a bar in each accounting; one panel a network."""
    least = min(record["voltage_v"] for record in records)
    mine = [record for record in records if record["voltage_v"] == least]
    names = list(dict.fromkeys(record["network"] for record in mine))
    sizes = [len({r["layer"] for r in mine if r["network"] == name}) for name in names]
    figure = Figure(figsize=(PAGE_INCHES, 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False, width_ratios=sizes)[0]
    for axes, name in zip(panels, names, strict=True):
        for n, accounting in enumerate(("paper", "full")):
            bars = [r for r in mine if r["network"] == name and r["accounting"] == accounting]
            places = [number + 0.4 * n - 0.2 for number in range(len(bars))]
            heights = [bar["ops_per_j"] / 1e12 for bar in bars]
            axes.bar(places, heights, 0.4, color=COLOURS[n], label=accounting, linewidth=0)
        labels = [bar["layer"] for bar in bars]
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=5)
        axes.set_title(name.removesuffix("-yodann"), fontsize=7)
    panels[0].set_ylabel(f"core TOp/s/W at {least:g} V")
    handles, kinds = panels[0].get_legend_handles_labels()
    figure.legend(handles, kinds, title="accounting", loc="outside right center")
    return figure
