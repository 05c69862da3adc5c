"""FINN (Umuroglu et al., FPGA 2017) and its open successors: a streaming unit per layer, the whole network on chip."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from archs.finn import datapath, loop, oracle, resources, rooms, sizing
from archs.finn import needs as least
from archs.finn.chain import Chain, Matrix, Unit, chain
from archs.finn.folding import given, resolve
from archs.finn.model import Pipeline, pipeline
from archs.finn.spec import FinnSpec
from archs.finn.streamline import NOTE, filled, streamlined
from sim.energy import EnergyTable
from sim.plan import Access, Computed, Machine, Needs, Phase, Plan, Work
from sim.timeline import Timeline
from workloads.folding import Folding, write_folding
from workloads.network import Network
from workloads.quantised import Threshold
from workloads.tensor import Array

__all__ = [
    "SPEC",
    "bound",
    "build",
    "compute",
    "extras",
    "fill",
    "machine",
    "needs",
    "precision",
    "prices",
    "ranked",
    "reference",
    "skips",
]

SPEC = FinnSpec
ENERGY = Path(__file__).with_name("energy.yaml")
RANDOM_IMAGES = 8
SMALL = 60_000
"""Word operations of the loop datapath up to which it runs too, to count accesses."""

ACCESSES = {
    "dma.in.bit": Access("dram.features.read", 1),
    "dma.out.bit": Access("dram.outputs.write", 1),
    "weight.bit": Access("weights.weights.read", 1),
    "threshold.bit": Access("thresholds.thresholds.read", 1),
    "buffer.write.bit": Access("buffer.features.write", 1),
    "buffer.read.bit": Access("buffer.features.read", 1),
}


def machine(spec: FinnSpec) -> Machine:
    """The listed folding's peak; without one, what the device's LUTs could hold of 1-bit operations (`extras` refines)."""
    layers = spec.fold.layers
    device = resources.DEVICES[spec.device]
    peak = sum(fold.pe * fold.simd for fold in layers) if layers else int(device.luts * 0.7 / 2.5 / 2)
    return Machine(spec.clock, peak, _prices(), "chip", ACCESSES)


@cache
def _prices() -> EnergyTable:
    return EnergyTable.load(ENERGY)


def prices(spec: FinnSpec) -> tuple[str, ...]:
    """What no cycle depends on; a folding that is searched depends on all settings."""
    return ("clock", "device") if given(spec) in ("layers", "file") else ()


def fill(spec: FinnSpec, network: Network, seed: int) -> Network:
    """A network of shapes with seeded whole weights and thresholds; any other as it is."""
    return filled(network, precision(spec), seed)


def skips(spec: FinnSpec, network: Network) -> dict[str, str]:
    """Layers that are not units of their own."""
    lowered = _chain(spec, network)
    inside = {unit.name for unit in lowered.units}
    host = {layer.name for layer in lowered.host}
    return {
        layer.name: "done by the host" if layer.name in host else "part of the unit before it"
        for layer in network.layers
        if layer.name not in inside
    }


def build(spec: FinnSpec, network: Network, inputs: Mapping[str, Array]) -> Plan:
    """One phase: all images stream through the whole network."""
    line, images = _pipeline(spec, network), _images(inputs)
    words = line.processes[-1].words_in
    flush = line.processes[-1].pipe if spec.hls == "stall-all" else 0
    sink = "dma.out" if flush or line.processes[-1].pipe == 1 else "dma.out.exit"
    works = [_work(line, unit, images) for unit in line.chain.units]
    ends = [_transfer(line, name) for name in ("dma.in", "dma.out")]
    return (
        Phase(
            network.name,
            line.design(images),
            (ends[0], *works, ends[1]),
            images=images,
            sink=sink,
            first_done=words - 1 + flush,
            steady=line.design(STEADY_IMAGES, pace=line.slowest),
        ),
    )


STEADY_IMAGES = 100_000
"""Enough for any design to show its period; none of them is written out."""


def compute(spec: FinnSpec, network: Network, inputs: Mapping[str, Array]) -> Computed:
    """All units' results through packed words; bits where values are bipolar, matches where a raw sum counts them."""
    lowered = _chain(spec, network)
    folds = resolve(spec, lowered)
    images = _pictures(network, inputs)
    outputs = datapath.run(lowered, folds, images)
    counts = None
    if len(images) * sum(unit.vectors * folds[unit.name].cycles for unit in lowered.matrices) <= SMALL:
        walked, counts = loop.run(lowered, folds, images)
        for name, array in walked.items():
            assert np.array_equal(array, outputs[name]), f"{name}: the fast datapath differs from the loop"
    said = (*network.notes, *rooms.notes(lowered))
    return Computed(outputs, counts=counts, notes=said, stored=rooms.stored(spec, lowered, folds))


def reference(spec: FinnSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The same numbers from decoded tensors."""
    return oracle.run(_chain(spec, network), _pictures(network, inputs))


def ranked(network: Network, scores: Array) -> Array:
    """Scores whose first maximum is the class: of a bit per class the published rule takes the highest set, else 0."""
    rule = network.layers[-1].op
    if isinstance(rule, Threshold) and rule.levels == 1:
        return (scores > 0) * np.arange(1, scores.shape[1] + 1)
    return scores


def bound(spec: FinnSpec, network: Network, inputs: Mapping[str, Array]) -> int:
    """All images through the slowest loop."""
    return _pipeline(spec, network).slowest * _images(inputs)


def needs(spec: FinnSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Needs]:
    """Useful MACs and weights of every unit; images in and scores out."""
    return least.needs(network, _chain(spec, network), _images(inputs))


def extras(
    spec: FinnSpec,
    network: Network,
    inputs: Mapping[str, Array],
    plan: Plan,
    timelines: tuple[Timeline, ...],
    chip: Machine,
) -> dict[str, Any]:
    """Resources, peak, and the folding and FIFO depths in use."""
    line = _pipeline(spec, network)
    cost = line.cost()
    peak = sum(fold.pe * fold.simd for fold in line.folds.values())
    useful, cycles = sum(work.macs_useful for work in plan[0].layers), timelines[0].cycles
    units = [Folding(f"MVAU_hls_{i}", f.pe, f.simd) for i, f in enumerate(line.folds.values())]
    device = resources.DEVICES[spec.device]
    return {
        "total": {
            "luts": cost.luts,
            "luts_tool_2018": line.cost("tool-2018").luts,
            "bram": cost.brams,
            "dsp": cost.dsps,
            "device_share": {"luts": cost.luts / device.luts, "bram": cost.brams / device.brams},
            "fold_cycles_per_image": line.slowest,
            "peak_ops_per_s": 2 * peak * spec.clock,
            "utilization": useful / (peak * cycles),
        },
        "folding": write_folding(units),
        "fifos": {link.name: link.depth for link in line.links},
        "layers": {name: {"pe": fold.pe, "simd": fold.simd} for name, fold in line.folds.items()},
    }


def precision(spec: FinnSpec) -> dict[str, int | None]:
    return {"weight": spec.weight_bits, "activation": spec.activation_bits, "input": spec.input_bits}


def _chain(spec: FinnSpec, network: Network) -> Chain:
    return chain(streamlined(network), precision(spec))


def _pipeline(spec: FinnSpec, network: Network) -> Pipeline:
    lowered = _chain(spec, network)
    line = pipeline(spec, lowered, resolve(spec, lowered))
    return sizing.sized(line) if spec.fifos == "auto" else line


def _pictures(network: Network, inputs: Mapping[str, Array]) -> Array:
    """The images to compute: all, or the first few where weights and images are random anyway."""
    images = inputs[next(iter(network.inputs))]
    return images[:RANDOM_IMAGES] if NOTE in network.notes else images


def _images(inputs: Mapping[str, Array]) -> int:
    return len(next(iter(inputs.values())))


def _work(line: Pipeline, unit: Unit, images: int) -> Work:
    stages = tuple(name for name in line.stages() if line.owner[name.removesuffix(".exit")] == unit.name)
    if not isinstance(unit, Matrix):
        return Work(unit.name, "pool", stages, unit.name, 1, 0, 0, 0, f"0x{unit.incoming.bits}", 0)
    fold = line.folds[unit.name]
    macs = unit.rows * unit.columns * unit.vectors * images
    padded = fold.mh * fold.mw * unit.vectors * images - macs
    flush = line.spec.pipes.mvau if line.spec.hls == "stall-all" else 0
    idle = {"padding": padded // (fold.pe * fold.simd), "flush": flush}
    width = f"{unit.weight_bits}x{unit.incoming.bits}"
    kind = "conv" if unit.slides else "linear"
    stored = fold.mh * fold.mw * unit.weight_bits
    return Work(
        unit.name, kind, stages, unit.name, 1, fold.pe * fold.simd, macs, macs, width, stored, {"padding": padded}, idle
    )


def _transfer(line: Pipeline, name: str) -> Work:
    stages = tuple(stage for stage in line.stages() if line.owner[stage.removesuffix(".exit")] == name)
    return Work(name, "dma", stages, "", 0, 0, 0, 0, "", 0)
