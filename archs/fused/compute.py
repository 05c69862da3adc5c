"""A run's numbers: inputs found or computed, every group through the datapath, and the same again by the reference."""

from collections import Counter
from collections.abc import Mapping
from math import prod

import numpy as np

from archs.fused.activity import SUM_BITS
from archs.fused.arithmetic import Arithmetic, fixed, floating
from archs.fused.datapath import Tally, compiled, run
from archs.fused.layout import Layout, Part, complete, layout, unfinished
from archs.fused.loops import counting
from archs.fused.model import stages
from archs.fused.pyramid import Pyramids, pyramids
from archs.fused.reference import reference as whole_maps
from archs.fused.rooms import rooms
from archs.fused.spec import FusedSpec
from archs.fused.stack import Stack
from archs.fused.storage import LoopStorage, weight_bits
from archs.fused.unroll import reads, taps
from sim.errors import InputError
from sim.plan import Computed, Stored
from workloads.execute import forward
from workloads.network import Network
from workloads.tensor import Array

PLAIN = Arithmetic({}, np.dtype(np.float32), np.dtype(np.float32))
"""Floating point without the datapath's own arrangement of the tensors."""
LOOP_READS = 600_000
"""Input values that the loops read, up to which the loop datapath runs too, to count its accesses."""
MOST_PYRAMIDS = 4
"""Pyramids of a group that the fast datapath runs one by one; of more, it takes several at a time."""


def compute(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> Computed:
    """Every group, image by image, through the datapath."""
    found = layout(spec, network)
    values = entries(found.stack, network, inputs)
    arithmetic = chosen(spec, found, values)
    tallies = [Tally() for _ in found.parts]
    images = len(next(iter(values.values())))
    small = spec.transfer != "trips" and _reads(found) * images <= LOOP_READS
    maps: dict[str, list[Array]] = {}
    for image in range(images):
        known = {name: arithmetic.store(name, array[image]).transpose(1, 2, 0) for name, array in values.items()}
        for part, tally in zip(found.parts, tallies, strict=True):
            wanted = {name: known[name] for name in part.group.entries}
            engine = counting(part.unrolls) if small else compiled
            shape = part.pyramids if small else merged(part)
            made = run(shape, arithmetic, wanted, tally, part.group.exits, engine)
            known.update({name: made[name] for name in part.group.exits})
            for name in complete(part):
                maps.setdefault(name, []).append(made[name].transpose(2, 0, 1))
    clipped = sum((Counter(tally.clipped) for tally in tallies), Counter[str]())
    taken = rooms(spec, found)
    outputs = {name: arrays[0][None] if images == 1 else np.stack(arrays) for name, arrays in maps.items()}
    return Computed(
        outputs=outputs,
        scales=dict(arithmetic.scales) or dict.fromkeys(outputs, 1.0),
        activations={name: values[name] for name in values},
        counts=_counted(spec, found, tallies) if small else None,
        saturations=clipped.total(),
        encoding_exact=not arithmetic.bits,
        notes=(*found.notes, *unfinished(found)),
        stored={name: Stored(not arithmetic.bits, clipped[name], taken.get(name, {})) for name in arithmetic.layers},
    )


def merged(part: Part) -> Pyramids:
    """Pyramids for the numbers of a large group: neighbouring ones at a time, through the same buffers.

    Every value is the same sum whatever the tile, so only recomputing has to keep the machine's own.
    """
    shape, factor = part.pyramids, 1
    if shape.scheme == "recompute":
        return shape
    while -(-shape.count[0] // factor) * -(-shape.count[1] // factor) > MOST_PYRAMIDS:
        factor += 1
    return shape if factor == 1 else pyramids(shape.group, shape.tile * factor, shape.scheme)


def reference(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The same maps from whole-map numpy."""
    found = layout(spec, network)
    values = entries(found.stack, network, inputs)
    arithmetic = chosen(spec, found, values) if spec.precision != "float32" else PLAIN
    stored = {name: arithmetic.store(name, array) for name, array in values.items()}
    made = whole_maps(found.stack, arithmetic, stored)
    return {name: made[name] for part in found.parts for name in complete(part)}


def entries(found: Stack, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The maps that the stack takes from outside, [images, maps, rows, columns]: given, or computed from what is."""
    inside = {node.name for unit in found.units for node in unit}
    values: dict[str, Array] = {}
    for unit in found.units:
        for node in unit:
            for name in node.inputs:
                if name in inside or name in values:
                    continue
                given = [reader for reader in (node.name,) if reader in inputs and len(node.inputs) == 1]
                values[name] = np.asarray(inputs[given[0]]) if given else _before(network, name, inputs, {})
    return values


def _before(network: Network, name: str, inputs: Mapping[str, Array], known: dict[str, Array]) -> Array:
    """Output of a layer before the stack, by the reference."""
    if name in inputs and name in network.inputs:
        return np.asarray(inputs[name])
    if name in network.inputs:
        raise InputError(f"{network.name} needs an input {name}", setting="inputs")
    if name not in known:
        layer = network.layer(name)
        if layer.name in inputs and len(layer.inputs) == 1:
            operands = [np.asarray(inputs[layer.name])]
        else:
            operands = [_before(network, source, inputs, known) for source in layer.inputs]
        known[name] = forward(layer.op, layer.params, operands)
    return known[name]


def chosen(spec: FusedSpec, found: Layout, values: Mapping[str, Array]) -> Arithmetic:
    """The arithmetic of the settings. Integer networks on integer inputs stay exact integers in `float32` too."""
    if spec.precision == "float32":
        return floating(found.stack)
    floats = {name: array.astype(np.float32) for name, array in values.items()}
    made = whole_maps(found.stack, floating(found.stack), floats, blas=True)
    return fixed(found.stack, found.precision, {**floats, **made})


def _reads(found: Layout) -> int:
    """Input values that the loops of all convolutions read, one by one, for one image."""
    return sum(
        part.pyramids.pixels(node.name) * taps(node) * reads(node, part.unrolls[node.name])
        for part in found.parts
        for node in part.group.convs
    )


def _counted(spec: FusedSpec, found: Layout, tallies: list[Tally]) -> dict[str, dict[str, int]]:
    """What the datapath did, in bits, by the layers whose stages carry it."""
    counts: dict[str, dict[str, int]] = {}
    for part, tally in zip(found.parts, tallies, strict=True):
        home = {node.name: node.name for node in part.group.nodes}
        if spec.scheme == "baseline":
            first = part.group.convs[0].name if part.group.convs else part.group.heads[0]
            home = dict.fromkeys(home, first)
        else:
            home = {node.name: unit.name for unit in stages(part, spec.pipeline) for node in unit.nodes}
        for name in part.group.entries:
            home[name] = home[part.group.readers[name][0].name]
        for name, owner in home.items():
            row = counts.setdefault(owner, {})
            for action, amount in _bits(part, name, tally).items():
                row[action] = row.get(action, 0) + amount
    return counts


def _bits(part: Part, name: str, tally: Tally) -> dict[str, int]:
    """One map's or layer's accesses as actions. Weights are counted whole: their encoded bits, not the decoded values."""
    row: dict[str, int] = {}
    precision = part.storage.precision
    for action, values in tally.moved.get(name, {}).items():
        if action == "mac":
            row[precision.action] = values
        elif action.startswith("weights."):
            node = part.group.by_name[name]
            dense = node.layer.op.macs(*node.sources) // prod(node.shape[1:])
            row[action] = values * weight_bits(node, precision.weight_bits) // dense
        elif not (action.startswith("reuse.") and isinstance(part.storage, LoopStorage)):
            row[action] = values * (SUM_BITS if action.startswith("tiles.sums") else precision.map_bits)
    return row
