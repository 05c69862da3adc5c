"""What every layer counts: multiply-accumulates and the bits that cross each memory, in closed form from the spans.

Actions are `memory.what.direction` in bits, or `mac.<arithmetic>`. The loop datapath (loops.py) counts the same accesses
one by one and is their witness.

- `dram.features`, `dram.weights`: the group's inputs, outputs and weights.
- `reuse.maps`: BT and BL. Read: what a window takes from before its fresh part. Written: what the next pyramid needs.
- `tiles.maps`: working tiles. Every produced value is written once; a convolution reads Tn values a cycle, a pool or sum
  each value of its window.
- `tiles.sums`: the accumulators of a tile, Tm of them read and written a cycle.
- `weights.values`: on-chip weights, read once for every tile (the kernel position is the outer loop).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from archs.fused.layout import Part
from archs.fused.partition import macs_per_pixel
from archs.fused.pyramid import Ints, Pyramids, pyramids
from archs.fused.stack import Node
from archs.fused.storage import LoopStorage, weight_bits
from archs.fused.unroll import blocks, chunks, passes, reads, taps

SUM_BITS = 32


@dataclass(frozen=True, slots=True)
class Activity:
    """Counts of one layer over the images of a phase. `slots`: lanes times cycles of its stage.

    Of the multiply-accumulates `computed`, some are `recomputed`, some have a weight of zero (`filler`), some are of
    pixels that nothing looks at (`discard`: strides beyond the kernel); the others are `useful`.
    """

    actions: Mapping[str, int] = field(default_factory=dict)
    macs: int = 0
    computed: int = 0
    recomputed: int = 0
    filler: int = 0
    discard: int = 0
    useful: int = 0
    slots: int = 0


def activity(part: Part, images: int) -> dict[str, Activity]:
    """Counts of every layer of a group."""
    found = {node.name: _layer(part, node, images) for node in part.group.nodes}
    for name in part.group.entries:
        home = part.group.readers[name][0].name
        found[home] = _with(found[home], _entry(part, name, images))
    return found


def _with(row: Activity, more: Mapping[str, int]) -> Activity:
    actions = dict(row.actions)
    for action, amount in more.items():
        actions[action] = actions.get(action, 0) + amount
    return Activity(
        {a: n for a, n in actions.items() if n},
        row.macs,
        row.computed,
        row.recomputed,
        row.filler,
        row.discard,
        row.useful,
        row.slots,
    )


def _entry(part: Part, name: str, images: int) -> dict[str, int]:
    """A map that comes from outside."""
    bits = images * part.storage.precision.map_bits * part.group.entries[name][0]
    times = 1
    if isinstance(part.storage, LoopStorage) and part.storage.trips and name in before_conv(part):
        times = input_trips(part)
    moved = bits * int(entry_pixels(part)[name].sum()) * times
    return {"dram.features.read": moved, "tiles.maps.write": moved} | _carried(part, name, images)


def entry_pixels(part: Part) -> dict[str, Ints]:
    """Pixels of every map from outside that each tile reads: the fresh ones, or (`trips`) the whole window."""
    shape = part.pyramids
    if isinstance(part.storage, LoopStorage) and part.storage.trips:
        shape = pyramids(shape.group, shape.tile, "recompute")
    return {name: shape.fresh(name) for name in part.group.entries}


def before_conv(part: Part) -> set[str]:
    """The maps from outside that the baseline's convolution (or the pool before it) takes."""
    found: set[str] = set()
    for node in part.group.nodes:
        found |= set(node.inputs)
        if node.kind == "conv":
            return found
    return found


def input_trips(part: Part) -> int:
    """How often the baseline's loops bring each input map: once for every block of Tm output maps."""
    node = part.group.convs[0]
    unroll = part.unrolls[node.name]
    return max(1, reads(node, unroll) // sum(block.fresh for block in chunks(node, unroll)))


def _layer(part: Part, node: Node, images: int) -> Activity:
    shape, word = part.pyramids, part.storage.precision.map_bits * images
    pixels = shape.pixels(node.name)
    actions = {"tiles.maps.write": word * node.shape[0] * pixels if node.kind in ("conv", "pool", "add") else 0}
    if node.name in part.group.exits:
        actions["dram.features.write"] = word * node.shape[0] * int(shape.stored(node.name).sum())
    row = Activity(actions)
    if node.kind == "conv":
        row = _conv(part, node, images, row)
    elif node.kind in ("pool", "add"):
        looks = taps(node) if node.kind == "pool" else 1
        row = _with(row, {"tiles.maps.read": word * pixels * looks * sum(s[0] for s in node.sources)})
    return _with(row, _carried(part, node.name, images))


def _conv(part: Part, node: Node, images: int, row: Activity) -> Activity:
    shape, precision = part.pyramids, part.storage.precision
    pixels, distinct, each = shape.pixels(node.name), shape.distinct(node.name), macs_per_pixel(part.group, node.name)
    needed, wanted = nonzero(node, each), part.group.wanted[node.name]
    tm, tn = part.unrolls[node.name]
    cycles = pixels * taps(node) * passes(node, (tm, tn))
    stored = weight_bits(node, precision.weight_bits)
    tiles = int(np.count_nonzero(shape.fresh(node.name)))
    read, summed = reads(node, (tm, tn)), -(-passes(node, (tm, tn)) * node.shape[0] // blocks(node, (tm, tn)))
    actions = {
        precision.action: images * pixels * each,
        "tiles.maps.read": images * precision.map_bits * pixels * taps(node) * read,
        "tiles.sums.read": images * SUM_BITS * pixels * taps(node) * summed,
        "tiles.sums.write": images * SUM_BITS * pixels * taps(node) * summed,
        "weights.values.read": images * tiles * stored,
        "dram.weights.read": _weight_loads(part, tiles, images) * stored,
    }
    row = _with(row, actions)
    return Activity(
        row.actions,
        images * node.layer.op.macs(*node.sources),
        images * pixels * each,
        images * (pixels - distinct) * each,
        images * distinct * (each - needed),
        images * (distinct - wanted) * needed,
        images * wanted * needed,
        images * cycles * tm * tn,
    )


def _weight_loads(part: Part, tiles: int, images: int) -> int:
    """Times the weights come from DRAM: for every tile in the baseline or when streamed, else once for all images."""
    return images * tiles if part.storage.streamed or isinstance(part.storage, LoopStorage) else 1


def nonzero(node: Node, each: int) -> int:
    """Multiply-accumulates per pixel whose weight is not zero; all of them where the weights are not known."""
    if "weight" not in node.layer.params:
        return each
    return int(np.count_nonzero(node.layer.array("weight")))


def _carried(part: Part, name: str, images: int) -> dict[str, int]:
    """BT and BL of one map."""
    if part.pyramids.scheme != "reuse" or isinstance(part.storage, LoopStorage):
        return {}
    read, written = carried_values(part.pyramids, name)
    bits = images * part.storage.precision.map_bits * part.group.shapes[name][0]
    return {"reuse.maps.read": bits * read, "reuse.maps.write": bits * written}


def carried_values(shape: Pyramids, name: str) -> tuple[int, int]:
    """Pixels that one image reads from and writes to BT and BL of a map."""
    rows, columns = shape.rows[name], shape.columns[name]
    seen = [int((s.high - s.need).sum()) for s in (rows, columns)]
    fresh = [int(s.fresh.sum()) for s in (rows, columns)]
    kept = [int(np.maximum(s.high[:-1] - s.need[1:], 0).sum()) for s in (rows, columns)]
    return seen[0] * seen[1] - fresh[0] * fresh[1], kept[0] * fresh[1] + kept[1] * seen[0]
