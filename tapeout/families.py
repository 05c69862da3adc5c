"""Which accelerator gains from which compression family: found by running it, not written down.

A small network (a convolution, a linear layer) is compressed by each family's step and run on each accelerator in its
paper's configuration; a cell says how cycles and stored weight bits change against the uncompressed one.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

import archs
from reports.tables import columns
from sim.errors import SimError
from tapeout.session import run
from workloads.compress.factored import factored
from workloads.compress.steps import FAMILIES, compress, parse_step
from workloads.generate import activations, fill
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Pool, Relu

STEPS = (
    ("F1", "prune(density=0.1)"),
    ("F2", "prune(density=0.5, granularity=filter)"),
    ("F3", "prune(granularity=nm, n=2, m=4)"),
    ("F4", "share(bits=4)"),
    ("F5", "quantise(bits=8)"),
    ("F6", "quantise(scheme=pow2, bits=5)"),
    ("F7", "quantise(scheme=ternary)"),
    ("F8 F9", "quantise(scheme=xnor)"),
    ("F10", "hash(ratio=0.125)"),
    ("F11", "pq(length=4, words=16)"),
    ("F12", "lowrank(ratio=0.25)"),
    ("F16", "lowrank(kind=kronecker, rank=2)"),
    ("F17", "structured(block=8)"),
    ("F21", "dctcode(step=1.0)"),
)
"""One step a family; low-rank ones run as chains of layers where such a chain exists."""


@cache
def network() -> Network:
    """A convolution and a linear layer, dense, with seeded weights."""
    layers = [
        Layer("conv", Conv(32, (3, 3), padding=(1, 1, 1, 1)), ("image",)),
        Layer("relu", Relu(), ("conv",)),
        Layer("pool", Pool("max", (2, 2), (2, 2)), ("relu",)),
        Layer("flat", Flatten(), ("pool",)),
        Layer("fc", Linear(512), ("flat",)),
    ]
    return fill(Network("small", {"image": (16, 8, 8)}, layers))


def table() -> str:
    """Families by accelerator; `1.0x` where nothing is gained, the reason where it does not run."""
    names = list(archs.names())
    rows, notes = [], dict[str, None]()
    for covers, text in STEPS:
        cells = []
        for name in names:
            cell, note = _cell(name, text)
            cells.append(cell)
            if note:
                notes[f"{name}: {note}"] = None
        rows.append((covers, text, *cells))
    head = ("family", "step", *names)
    explain = "cycles and stored weight bits of the uncompressed network over the compressed one's, as measured"
    untold = sorted(set(FAMILIES) - {parse_step(text).name for _, text in STEPS})
    return "\n".join([columns(head, rows, left=2 + len(names)), "", explain, *(f"- {note}" for note in notes), *untold])


def _cell(arch: str, text: str) -> tuple[str, str]:
    """`2.1x cycles, 8.0x bits`, and a note where the machine does not take the network."""
    try:
        base, small = _measure(arch, ""), _measure(arch, text)
    except SimError as error:
        return "-", str(error)
    return f"{base[0] / small[0]:.1f}x cycles, {base[1] / max(1, small[1]):.1f}x bits", ""


@cache
def _measure(arch: str, text: str) -> tuple[int, int]:
    """(cycles, stored weight bits) of the small network after a step, on what layers the machine takes."""
    dense = network()
    made = factored(compress(dense, [parse_step(text)]).network) if text else dense
    image = activations(np.random.default_rng(0), dense.inputs["image"], 0.5)
    work = Workload("small", made, {"image": image}, "seeded", "0" * 64)
    result = run(arch, work, timing_only=arch != "eie")
    return result.total["cycles"], sum(layer.get("weight_bits", 0) for layer in _ran(result.layers))


def _ran(layers: list[dict[str, int]]) -> Iterator[dict[str, int]]:
    return (layer for layer in layers if "skipped" not in layer)
