"""What a fused group keeps on chip: carried rows and columns, working tiles, weights; in bytes and in BRAM18.

The reuse model carries, for every map inside a group, the rows (BT, over the whole padded width) and columns (BL, over
the rows of a tile) that the next pyramids look at again. The published 362 KB of the seven-layer VGG-E pyramid are these
bytes for all maps but the group's own input; the input's carried part counts among the tiles here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil, prod

import numpy as np

from archs.fused.pipeline import copies
from archs.fused.pyramid import Pyramids, Span
from archs.fused.stack import Group, Node
from workloads import ops

BRAM_BITS = 18 * 1024
SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
"""Depth x width of one BRAM18 (Xilinx UG473)."""
REGISTER_BITS = 1024
"""Arrays of at most this many bits become LUT memory or registers, as HLS tools do by default."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What is carried of one map: `rows` of `row_length` values and `columns` of `column_length`, per map."""

    maps: int
    rows: int
    row_length: int
    columns: int
    column_length: int

    @property
    def top(self) -> int:
        """Values of BT."""
        return self.maps * self.rows * self.row_length

    @property
    def left(self) -> int:
        """Values of BL."""
        return self.maps * self.columns * self.column_length


@dataclass(frozen=True, slots=True)
class _Pace:
    """One axis away from the borders: values `fresh` per pyramid, known up to `lead` beyond the pyramid's own."""

    fresh: Fraction | int
    lead: int


def carried(group: Group, tile: int) -> dict[str, Carried]:
    """For every map (entries too) what the reuse model carries, by the size rule of the published points.

    Rows (K - S) x (W + 2p) and columns (K - S) x h with h = S * (new - 1) + K, the rows of a steady tile. Where several
    layers read a map, from the one furthest ahead to the one furthest behind.
    """
    paces = [_paces(group, tile, axis) for axis in (0, 1)]
    found: dict[str, Carried] = {}
    for name in (*group.entries, *group.by_name):
        readers = group.readers[name]
        keep = [_kept(paces[axis], name, readers, axis) for axis in (0, 1)]
        maps, _, width = group.shapes[name]
        pad = max((node.windows[1].before + node.windows[1].after for node in readers), default=0)
        rows = ceil(paces[0][name].fresh) + keep[0]
        found[name] = Carried(maps, keep[0], width + pad, keep[1], rows)
    return found


def _paces(group: Group, tile: int, axis: int) -> dict[str, _Pace]:
    found: dict[str, _Pace] = {}
    final = group.last.shape[axis + 1]
    for name in (*(node.name for node in reversed(group.nodes)), *group.entries):
        readers = group.readers[name]
        if not readers:
            size = group.shapes[name][axis + 1]
            each = Fraction(min(tile, final) * size, final)
            found[name] = _Pace(int(each) if each.denominator == 1 else each, 0)
            continue
        ahead = [(found[node.name], node.windows[axis]) for node in readers]
        fresh = max(pace.fresh * w.stride for pace, w in ahead)
        lead = max((pace.lead - 1) * w.stride + w.reach - w.before for pace, w in ahead)
        found[name] = _Pace(fresh, lead)
    return found


def _kept(paces: Mapping[str, _Pace], name: str, readers: Iterable[Node], axis: int) -> int:
    behind = [paces[node.name].lead * node.windows[axis].stride - node.windows[axis].before for node in readers]
    return max(0, paces[name].lead - min(behind)) if behind else 0


@dataclass(frozen=True, slots=True)
class Precision:
    """Stored bits of a map's value and of a dense weight, and what a multiply-accumulate costs in DSP48 slices."""

    name: str
    map_bits: int
    weight_bits: int
    dsps_per_mac: Fraction
    action: str


PRECISIONS = {
    "float32": Precision("float32", 32, 32, Fraction(5), "mac.float32"),
    "fixed16": Precision("fixed16", 16, 16, Fraction(1), "mac.fixed16"),
    "fixed8": Precision("fixed8", 8, 8, Fraction(1, 2), "mac.fixed8"),
}
"""fp32: three DSP48 for the product and two for the sum, as in the published counts. Two 8-bit products share one."""


def weight_bits(node: Node, dense_bits: int) -> int:
    """Bits that a convolution's weights take, encoded as they are stored; biases are registers and not counted.

    An encoded tensor says its size itself. Of a layer without tensors, the known density and bits give it.
    """
    layer, op = node.layer, node.layer.op
    if not isinstance(op, ops.Conv):
        return 0
    count = _count(node)
    tensor = layer.params.get("weight")
    if tensor is not None and not isinstance(tensor, np.ndarray):
        return tensor.bits()
    known, density = layer.bits or {}, (layer.density or {}).get("weight", 1.0)
    bits = known.get("weight", dense_bits)
    if density < 1 and "index" in known:
        return ceil(count * density) * (bits + known["index"])
    return count * bits


def _count(node: Node) -> int:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return op.outputs * (node.sources[0][0] // op.groups) * prod(op.kernel)


def _taps(node: Node) -> int:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return prod(op.kernel)


def value_bits(node: Node, dense_bits: int) -> int:
    """Bits of one weight as the multiplier sees it, for `op_width`."""
    return (node.layer.bits or {}).get("weight", dense_bits)


@dataclass(frozen=True)
class Storage:
    """Bytes on chip of one group."""

    group: Group
    pyramids: Pyramids
    precision: Precision
    streamed: bool = False

    @cached_property
    def carried(self) -> dict[str, Carried]:
        if self.pyramids.scheme != "reuse":
            return {}
        return carried(self.group, self.pyramids.tile)

    @cached_property
    def reuse(self) -> int:
        """BT and BL of all maps but the group's own inputs."""
        return sum(self._bytes(c.top + c.left) for name, c in self.carried.items() if name not in self.group.entries)

    @property
    def overlap(self) -> int:
        """BT and BL of the group's inputs: without them every pyramid would read its whole base again."""
        return sum(self._bytes(c.top + c.left) for name, c in self.carried.items() if name in self.group.entries)

    @cached_property
    def tiles(self) -> int:
        """Working tiles of all maps (see pipeline.copies), and the carried part of the group's inputs."""
        return self.overlap + sum(self._bytes(n * self.tile(name)) for name, n in self.copies.items())

    @cached_property
    def copies(self) -> Mapping[str, int]:
        """Tiles held of every map."""
        return copies(self.group)

    def tile(self, name: str) -> int:
        """Values of the largest tile of a map."""
        return self.group.shapes[name][0] * int(self.pyramids.fresh(name).max(initial=0))

    @property
    def weights(self) -> int:
        """All weights of the group, encoded; none when they are streamed."""
        return 0 if self.streamed else self.weight_bytes

    @property
    def weight_bytes(self) -> int:
        """All weights of the group, encoded, wherever they are kept."""
        return -(-self.weight_bits // 8)

    @cached_property
    def weight_bits(self) -> int:
        return sum(weight_bits(node, self.precision.weight_bits) for node in self.group.convs)

    @property
    def total(self) -> int:
        return self.reuse + self.tiles + self.weights

    def _bytes(self, values: int) -> int:
        return values * self.precision.map_bits // 8


@dataclass(frozen=True)
class LoopStorage(Storage):
    """Buffers of the layer-by-layer baseline (Zhang et al., FPGA 2015, section 4): nothing is carried.

    Double-buffered tiles of Tn input maps and Tm output maps and Tm x Tn kernels. With `trips` the loops read each
    input window again for every block of output maps.
    """

    unrolls: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    trips: bool = False

    @cached_property
    def carried(self) -> dict[str, Carried]:
        return {}

    @cached_property
    def reuse(self) -> int:
        return 0

    @cached_property
    def tiles(self) -> int:
        return self._bytes(sum(2 * values for node in self.group.convs for values, _ in self.buffers(node)))

    def buffers(self, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
        """(values, banks) of the input and the output tile."""
        tm, tn = self.unrolls[node.name]
        rows, columns = (int(axis[node.name].fresh.max(initial=0)) for axis in self.spans)
        into = prod(w.stride * (n - 1) + w.reach for w, n in zip(node.windows, (rows, columns), strict=True))
        tn, tm = min(tn, node.sources[0][0]), min(tm, node.shape[0])
        return (tn * into, tn), (tm * rows * columns, tm)

    @property
    def spans(self) -> tuple[Mapping[str, Span], Mapping[str, Span]]:
        return self.pyramids.rows, self.pyramids.columns

    @property
    def weights(self) -> int:
        bits = 0
        for node in self.group.convs:
            tm, tn = self.unrolls[node.name]
            share = min(Fraction(1), Fraction(tm * tn * _taps(node), _count(node)))
            bits += 2 * ceil(share * weight_bits(node, self.precision.weight_bits))
        return -(-bits // 8)


def blocks(depth: int, width: int, banks: int = 1) -> int:
    """BRAM18 of `banks` memories of `depth` words of `width` bits; small ones become LUT memory and take none."""
    if depth * width <= REGISTER_BITS:
        return 0
    return banks * min(-(-depth // d) * -(-width // w) for d, w in SHAPES)


def bram18(storage: Storage, unrolls: Mapping[str, tuple[int, int]]) -> int:
    """BRAM18 of a group. Weights lie in Tm x Tn banks, maps in as many banks as their reader takes values a cycle.

    Carried rows and columns are single, tiles double-buffered. Banks are what costs: a bank never shares a block.
    """
    word, group = storage.precision.map_bits, storage.group
    total = 0
    for node in group.convs:
        lanes = min(prod(unrolls[node.name]), _count(node))
        bits = weight_bits(node, storage.precision.weight_bits)
        if storage.weights and not isinstance(storage, LoopStorage) and bits:
            width = ceil(bits / _count(node))
            total += blocks(ceil(bits / width / lanes), width, lanes)
        elif bits:
            total += 2 * blocks(_taps(node), storage.precision.weight_bits, lanes)
    for name, c in storage.carried.items():
        banks = _banks(group, name, unrolls)
        total += blocks(ceil(c.top / banks), word, banks) + blocks(ceil(c.left / banks), word, banks)
    if isinstance(storage, LoopStorage):
        return total + sum(
            2 * blocks(ceil(values / banks), word, banks)
            for node in group.convs
            for values, banks in storage.buffers(node)
        )
    for name, count in storage.copies.items():
        banks = _banks(group, name, unrolls)
        total += count * blocks(ceil(storage.tile(name) / banks), word, banks)
    return total


def _banks(group: Group, name: str, unrolls: Mapping[str, tuple[int, int]]) -> int:
    """Values of a map that are wanted in one cycle: Tn of the convolutions that read it, or Tm of its own."""
    wanted = [unrolls[node.name][1] for node in group.readers[name] if node.name in unrolls]
    own = [unrolls[name][0]] if name in unrolls else []
    return min(max(wanted or own or [1]), group.shapes[name][0])
