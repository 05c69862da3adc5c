"""The figure of fused layers: what fusing costs in storage on chip, and what it saves in transfer."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports.figures import COLOURS, COLUMN_INCHES, Record, canvas, styled


@styled
def storage_transfer(records: Sequence[Record], inches: float = COLUMN_INCHES) -> Figure:
    """Fused layers (Alwani et al., MICRO 2016): transfer against storage of every partition, its front and points A, C."""
    figure, (axes,) = canvas(inches=min(inches, COLUMN_INCHES))
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
