"""Which accelerator gains from which compression family: found by running it, not written down.

A small network (a convolution, a linear layer) is compressed by each family's step and run on each accelerator in its
paper's configuration; a cell says how cycles and stored weight bits change against the uncompressed one, and LUTs of a
machine whose size follows the network (folded for a rate, it shrinks instead of running faster). A machine that does not
take the network in floats gets it in whole numbers.
"""

from dataclasses import replace
from functools import cache

import numpy as np

import archs
from reports.tables import columns
from sim.errors import InputError, SimError
from tapeout.session import run
from workloads.compress.factored import factored
from workloads.compress.steps import SETTINGS, Step, compress, parse_step
from workloads.elementwise import Elementwise
from workloads.generate import activations, fill
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Pool, Relu, Sign
from workloads.tensor import Array

STEPS = (
    ("F1", "prune(density=0.1)"),
    ("F2", "prune(density=0.5, granularity=filter); shrink(constants=drop)"),
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
    ("F20", "mask(threshold=1)"),
    ("F20", "mask(kind=perforation, step=2)"),
    ("F21", "dctcode(step=1.0)"),
)
"""The steps of each family; low-rank ones run as chains of layers where such a chain exists."""


@cache
def network() -> Network:
    """A convolution and a linear layer, dense, with seeded weights."""
    layers = [
        Layer("conv", Conv(32, (3, 3), padding=(1, 1, 1, 1)), ("image",)),
        Layer("relu", Relu(), ("conv",)),
        Layer("pool", Pool("max", (2, 2), (2, 2)), ("relu",)),
        Layer("flat", Flatten(), ("pool",)),
        Layer("fc", Linear(256), ("flat",)),
    ]
    return fill(Network("small", {"image": (16, 8, 8)}, layers))


@cache
def _made(text: str) -> Network:
    """The small network after steps (none: as it is)."""
    return factored(compress(network(), steps_of(text)).network)


def steps_of(text: str) -> list[Step]:
    """Steps that stand one behind another, with semicolons between them."""
    return [parse_step(part) for part in text.split(";") if part]


def whole(given: Network) -> Network:
    """The same shapes without bias, with signs for activations and whole weights: what a machine of thresholds stores.

    A sign does not see the scale of its row, so each row of weights is scaled to 8-bit numbers; to -1, 0, 1 where its
    values have one magnitude.
    """

    def plain(layer: Layer) -> Layer:
        if isinstance(layer.op, Relu | Elementwise):
            return replace(layer, op=Sign())
        if isinstance(layer.op, Conv | Linear):
            weight = _scaled(layer.array("weight"))
            return replace(layer, op=replace(layer.op, bias=False), params={"weight": weight}, bits=None)
        return layer

    return Network(given.name, given.inputs, [plain(layer) for layer in given.layers])


def _scaled(weight: Array) -> Array:
    """Whole numbers, row by row."""
    rows = np.abs(weight.reshape(len(weight), -1))
    top = rows.max(axis=1, initial=0)
    single = bool(np.all((rows == 0) | np.isclose(rows, top[:, None], rtol=1e-5)))
    unit = np.where(top > 0, top, 1) / (1 if single else 127)
    return np.rint(weight / unit.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)


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
    explain = "cycles and stored weight bits of the uncompressed network over the compressed one's; more is better"
    untold = sorted(set(SETTINGS) - {step.name for _, text in STEPS for step in steps_of(text)})
    return "\n".join([columns(head, rows, left=2 + len(names)), "", explain, *(f"- {note}" for note in notes), *untold])


def _cell(arch: str, text: str) -> tuple[str, str]:
    """`2.1x cycles, 8.0x bits`, and a note where the machine does not take the network as it is."""
    try:
        base, note = _base(arch)
        small = _measure(arch, text, bool(note))
    except SimError as error:
        return "-", str(error)
    said = (f"{base[what] / small[what]:.1f}x {what}" for what in base if small.get(what))
    return ", ".join(said), note


@cache
def _base(arch: str) -> tuple[dict[str, float], str]:
    """The uncompressed network on a machine, and why it ran in whole numbers if it did."""
    try:
        return _measure(arch, "", False), ""
    except InputError as error:
        return _measure(arch, "", True), f"in whole numbers, without bias (in floats: {error})"


def _measure(arch: str, text: str, in_whole: bool) -> dict[str, float]:
    """Cycles, stored weight bits and LUTs (where told) of the small network after a step, on the layers a machine takes."""
    made = whole(_made(text)) if in_whole else _made(text)
    image = activations(np.random.default_rng(0), made.inputs["image"], 0.5)
    work = Workload("small", made, {"image": image}, "seeded", "0" * 64)
    result = run(arch, work, timing_only=True)
    bits = sum(layer.get("weight_bits", 0) for layer in result.layers)
    sizes = {"LUTs": result.total["luts"]} if "luts" in result.total else {}
    return {"cycles": result.total["cycles"], "bits": bits} | sizes
