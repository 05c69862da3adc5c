# %% [markdown]
# # A tour: one network on EIE, one setting swept, one figure
#
# The `# %%` marks make this script a notebook: VS Code, Spyder and PyCharm run it cell by cell, and
# `jupytext --to ipynb examples/tour.py` makes it one for Jupyter. `python examples/tour.py` runs it as it is.
# Files go to `out/tour` below the folder where it runs.

# %%
from pathlib import Path

from matplotlib.figure import Figure

from reports import figures
from tapeout import run

OUT = Path("out/tour")

# %% [markdown]
# ## One run
#
# LeNet-300-100, pruned and weight-shared, comes with tapeout: its weights, and held-out digits with their labels.
# The datapath decodes the compressed tensors; `equivalence` is the comparison with an independent forward pass.

# %%
result = run("eie", "lenet-300-100", batch=20)
total, accuracy = result.total, result.data["accuracy"]
print(f"{accuracy['top1']:.0%} of {accuracy['n']} digits right; numbers equal: {result.data['equivalence']['passed']}")
print(f"{total['cycles']:,} cycles, {total['energy_j'] / 20 * 1e9:.1f} nJ an image at the {total['boundary']} boundary")
for layer in result.layers:
    print(layer["name"], layer["cycles"], layer["stalls"])

# %% [markdown]
# ## One setting swept
#
# Of one column of weights some PEs hold more than others; the queue before every PE evens that out over several
# columns. How deep must it be? `useful` is the share of PE-cycles that multiply a stored weight with an activation.

# %%
DEPTHS = (2, 4, 8, 16, 32, 64)
records = [
    {
        "layer": layer["name"],
        "queue_depth": depth,
        "cycles": layer["cycles"],
        "useful": layer["unit_cycles_useful"] / (layer["units"] * layer["cycles"]),
    }
    for depth in DEPTHS
    for layer in run("eie", "lenet-300-100", settings={"queue_depth": depth}, batch=4).layers
    if layer.get("cycles")
]
for record in records:
    print("{layer:6} queue of {queue_depth:2}: {cycles:6,} cycles, {useful:.1%} useful".format(**record))

# %% [markdown]
# ## One figure
#
# As PDF, SVG and PNG, with its points as CSV beside them.


# %%
@figures.styled
def draw() -> Figure:
    """Useful PE-cycles of each layer against the depth of the queue."""
    figure, (axes,) = figures.canvas(inches=4.5)
    figures.curves(axes, records, "queue_depth", "useful", "layer")
    figures.logarithmic(axes, DEPTHS)
    axes.set(xlabel="queue depth", ylabel="useful share of PE-cycles", ylim=(0, 0.4))
    figure.legend(loc="outside right center")
    return figure


for path in figures.save(draw(), records, OUT / "queue-depth", "python examples/tour.py"):
    print(path)
