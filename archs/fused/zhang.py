"""The layer-by-layer baseline: one Tm x Tn engine, tiles of Tr x Tc, loops over tiles (Zhang et al., FPGA 2015).

For every output tile and every block of Tm output maps, blocks of Tn input maps are loaded and accumulated; the block
is stored at the end. A firing is one such block: rows * columns * K^2 cycles, ceil(M/Tm) * ceil(N/Tn) of them a tile, so
that a layer takes R * C * K^2 * ceil(M/Tm) * ceil(N/Tn). Loads of the next block and the store of the last share the
port with double buffers.

`transfer=trips` reads each input window again for every block of output maps and with its halo, as these loops do;
the other conventions count every map once, as the paper's tables do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archs.fused.activity import Activity, before_conv, entry_pixels, input_trips
from archs.fused.batch import Batch
from archs.fused.layout import Part
from archs.fused.port import PORT, port_cycles
from archs.fused.pyramid import Ints
from archs.fused.spec import FusedSpec
from archs.fused.stack import Node
from archs.fused.storage import LoopStorage, weight_bits
from archs.fused.unroll import chunks, taps
from sim.graph import Design, Fifo, Stage
from sim.rates import Total


@dataclass(frozen=True, eq=False, slots=True)
class Blocks:
    """Every firing of one image in order: cycles, bytes loaded before it, bytes stored after it, whether it stores."""

    cycles: Ints
    load: Ints
    store: Ints
    stores: Ints


def loops(spec: FusedSpec, part: Part, images: int, counts: Mapping[str, Activity]) -> tuple[Design, int]:
    """The design of one layer, and the port's firing that ends the first image."""
    name = part.group.convs[0].name if part.group.convs else part.group.heads[0]
    blocks = conv_blocks(part, part.group.convs[0]) if part.group.convs else stream_blocks(part)
    batch = Batch(len(blocks.cycles), 1, images)
    load = port_cycles(spec, batch.at(blocks.load, 0))
    store = port_cycles(spec, batch.at(blocks.store, 1))
    there, back = batch.at(np.ones_like(blocks.cycles), 0), batch.at(blocks.stores, 1)
    nothing = np.zeros_like(load)
    actions: dict[str, int] = {}
    for node in part.group.nodes:
        for action, amount in counts[node.name].actions.items():
            actions[action] = actions.get(action, 0) + amount
    design = Design(part.name)
    design.add(Stage(PORT, batch.by_step(load, store), 2 * batch.steps, claim="start"))
    totals = {action: Total(amount) for action, amount in actions.items()}
    design.add(Stage(name, batch.by_image(blocks.cycles), batch.period * images, totals, claim="start"))
    design.connect(PORT, name, Fifo("load", 1, batch.by_step(there, nothing), 1, latency=0))
    design.connect(name, PORT, Fifo("store", 1, batch.by_image(blocks.stores), batch.by_step(nothing, back), latency=0))
    return design, 2 * batch.period + 1


def conv_blocks(part: Part, node: Node) -> Blocks:
    """Blocks of a convolution: tile by tile, block of output maps by block, block of input maps by block."""
    shape, storage = part.pyramids, part.storage
    assert isinstance(storage, LoopStorage)
    blocks = chunks(node, part.unrolls[node.name])
    into = np.array([b.inputs if storage.trips else b.fresh for b in blocks])
    out = np.array([b.outputs for b in blocks])
    pixels = shape.fresh(node.name)
    load = np.zeros((len(pixels), len(blocks)), np.int64)
    for name, moved in entry_pixels(part).items():
        size = moved * part.group.entries[name][0] * storage.precision.map_bits // 8
        feeds = name in before_conv(part)
        times = input_trips(part) if storage.trips and feeds else 1
        load += _spread(size * times, into if feeds else out)
    weights = -(-weight_bits(node, storage.precision.weight_bits) // 8)
    load += _spread(np.where(pixels > 0, weights, 0), np.ones(len(blocks), np.int64))
    store = _spread(_stored(part), out)
    stores = np.tile(out > 0, len(pixels)).astype(np.int64)
    return Blocks(np.repeat(pixels * taps(node), len(blocks)), load.ravel(), store.ravel(), stores)


def stream_blocks(part: Part) -> Blocks:
    """A pass without a convolution works at the pace of the port."""
    word = part.storage.precision.map_bits
    load = sum(moved * part.group.entries[name][0] * word // 8 for name, moved in entry_pixels(part).items())
    store = _stored(part)
    return Blocks(np.zeros_like(store), np.zeros_like(store) + load, store, np.ones_like(store))


def _stored(part: Part) -> Ints:
    """Bytes that each tile writes to DRAM."""
    shape, word = part.pyramids, part.storage.precision.map_bits
    total = np.zeros(shape.count[0] * shape.count[1], np.int64)
    for name in part.group.exits:
        total += shape.stored(name) * part.group.shapes[name][0] * word // 8
    return total


def _spread(size: Ints, weights: Ints) -> Ints:
    """`size[tile]` over the blocks of a tile in proportion to `weights`, whole and without loss."""
    parts = np.concatenate([[0], np.cumsum(weights, dtype=np.int64)])
    parted: Ints = np.diff(size[:, None] * parts // max(1, int(parts[-1])), axis=1)
    return parted
