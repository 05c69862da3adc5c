"""The numbers, tile by tile, through the real buffers: BT and BL contents, fresh tiles, and nothing else.

Pyramids run in raster order. A map's window is spliced from BL (columns of the pyramid to the left), BT (rows of the
pyramids above) and what was just computed or loaded; then BL and BT take what the next pyramids need of it. DRAM is
only read at a group's inputs and only written at its exits. Every access is counted where it happens.

Maps are [rows, columns, maps] inside and [images, maps, rows, columns] outside.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from archs.fused.arithmetic import Arithmetic, Numbers, half_up, saturate
from archs.fused.kernel import convolve
from archs.fused.pyramid import Pyramids, Span
from archs.fused.stack import Node
from workloads import ops
from workloads.tensor import Array

Counts = dict[str, dict[str, int]]


@dataclass
class Tally:
    """Values moved and sums clipped, by map or layer: what the datapath really did."""

    moved: Counts = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, action: str, values: int) -> None:
        row = self.moved.setdefault(name, {})
        row[action] = row.get(action, 0) + values


class Axis:
    """A span as plain ints, which indexing wants."""

    def __init__(self, span: Span) -> None:
        self.low, self.high, self.need = span.low.tolist(), span.high.tolist(), span.need.tolist()
        self.front, self.size = span.frontier.tolist(), span.size
        self.next = [*self.need[1:], span.size]
        self.keep = [max(0, high - after) for high, after in zip(self.high, self.next, strict=True)]
        self.keep[-1] = 0
        self.widest = max((high - need for high, need in zip(self.high, self.need, strict=True)), default=0)


class Map:
    """One map of a group: its part of each pyramid, and BT and BL where a pyramid leaves something behind."""

    def __init__(self, name: str, shape: Pyramids, maps: int, arithmetic: Arithmetic, tally: Tally) -> None:
        self.name, self.tally = name, tally
        self.rows, self.columns = Axis(shape.rows[name]), Axis(shape.columns[name])
        rows, columns = max(self.rows.keep), max(self.columns.keep)
        self.carries = shape.scheme != "recompute" and bool(rows or columns)
        if self.carries:
            self.top = np.zeros((rows, self.columns.size, maps), arithmetic.dtype)
            self.left = np.zeros((self.rows.widest, columns, maps), arithmetic.dtype)

    def splice(self, r: int, c: int, fresh: Array) -> Array:
        """The window of pyramid (r, c): what readers may look at, from `need` on."""
        if not self.carries:
            return fresh
        rows, columns = self.rows, self.columns
        need_r, need_c = rows.need[r], columns.need[c]
        above, before = rows.low[r] - need_r, columns.low[c] - need_c
        window = np.empty((rows.high[r] - need_r, columns.high[c] - need_c, fresh.shape[2]), fresh.dtype)
        if before:
            window[:, :before] = self.left[: len(window), :before]
        if above:
            window[:above, before:] = self.top[:above, columns.low[c] : columns.high[c]]
        window[above:, before:] = fresh
        self.tally.count(self.name, "reuse.maps.read", window.size - fresh.size)
        keep = rows.keep[r]
        if keep:
            saved = window[rows.next[r] - need_r :, before:]
            self.top[:keep, columns.low[c] : columns.high[c]] = saved
            self.tally.count(self.name, "reuse.maps.write", saved.size)
        keep = columns.keep[c]
        if keep:
            saved = window[:, columns.next[c] - need_c :]
            self.left[: len(window), :keep] = saved
            self.tally.count(self.name, "reuse.maps.write", saved.size)
        return window


Convolve = Callable[[Node, Array, Array, Array, Tally], None]


def compiled(node: Node, x: Array, weight: Array, sums: Array, tally: Tally) -> None:
    """The compiled convolution; it counts nothing inside."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    convolve(x, weight, (op.stride[0], op.stride[1]), (op.dilation[0], op.dilation[1]), sums)


def run(
    shape: Pyramids,
    arithmetic: Arithmetic,
    entries: Mapping[str, Array],
    tally: Tally,
    exits: Iterable[str],
    engine: Convolve = compiled,
) -> dict[str, Array]:
    """One image through one group: `entries` and the result are [rows, columns, maps]; `exits` go to DRAM.

    The result has every map of the group; what pyramids never compute stays zero (`Pyramids.distinct` tells).
    """
    group = shape.group
    maps = {name: Map(name, shape, s[0], arithmetic, tally) for name, s in group.shapes.items()}
    written = {node.name: np.zeros((*node.shape[1:], node.shape[0]), arithmetic.dtype) for node in group.nodes}
    leaving = set(exits)
    for r in range(shape.count[0]):
        for c in range(shape.count[1]):
            windows: dict[str, Array] = {}
            for name in group.entries:
                rows, columns = maps[name].rows, maps[name].columns
                fresh = entries[name][rows.low[r] : rows.high[r], columns.low[c] : columns.high[c]]
                tally.count(name, "dram.features.read", fresh.size)
                tally.count(name, "tiles.maps.write", fresh.size)
                windows[name] = maps[name].splice(r, c, fresh)
            for node in group.nodes:
                here = maps[node.name]
                rows, columns = here.rows, here.columns
                box = (rows.low[r], rows.high[r], columns.low[c], columns.high[c])
                fresh = tile(node, box, arithmetic, maps, windows, (r, c), tally, engine)
                written[node.name][box[0] : box[1], box[2] : box[3]] = fresh
                if node.name in leaving:
                    new = fresh[max(0, rows.front[r] - box[0]) :, max(0, columns.front[c] - box[2]) :]
                    tally.count(node.name, "dram.features.write", new.size)
                windows[node.name] = here.splice(r, c, fresh)
    return written


def tile(
    node: Node,
    box: tuple[int, int, int, int],
    arithmetic: Arithmetic,
    maps: Mapping[str, Map],
    windows: Mapping[str, Array],
    at: tuple[int, int],
    tally: Tally,
    engine: Convolve = compiled,
) -> Array:
    """What a layer computes of rows box[0]..box[1] and columns box[2]..box[3]."""
    rows, columns = box[1] - box[0], box[3] - box[2]
    if rows <= 0 or columns <= 0:
        return np.zeros((max(rows, 0), max(columns, 0), node.shape[0]), arithmetic.dtype)
    fill = _fill(node, arithmetic)
    operands = [_operand(node, names, box, maps, windows, at, fill) for names in node.operands]
    numbers, op = arithmetic.layers[node.name], node.layer.op
    match op:
        case ops.Conv():
            sums = np.zeros((rows, columns, node.shape[0]), arithmetic.sums)
            return _convolved(node, operands[0], sums, arithmetic, tally, engine)
        case ops.Pool():
            tally.count(node.name, "tiles.maps.read", rows * columns * node.shape[0] * op.kernel[0] * op.kernel[1])
            tally.count(node.name, "tiles.maps.write", rows * columns * node.shape[0])
            return _pool(node, op, operands[0], box, arithmetic)
        case ops.Relu():
            return np.maximum(operands[0], 0)
        case ops.Sign():
            return np.where(operands[0] >= 0, 1, -1).astype(arithmetic.dtype)
        case ops.Add():
            total = operands[0].astype(arithmetic.sums)
            tally.count(node.name, "tiles.maps.read", sum(operand.size for operand in operands))
            tally.count(node.name, "tiles.maps.write", total.size)
            for operand in operands[1:]:
                total = total + operand
            return _stored(node.name, total, 0, arithmetic, tally)
        case ops.BatchNorm():
            return _normalised(node.name, operands[0], numbers, arithmetic, tally)
        case ops.Lrn():
            return _lrn(op, operands[0], arithmetic, numbers.source_scale, numbers.scale)
        case _:
            raise AssertionError(node.kind)


def _convolved(node: Node, x: Array, sums: Array, arithmetic: Arithmetic, tally: Tally, engine: Convolve) -> Array:
    numbers = arithmetic.layers[node.name]
    assert numbers.weight is not None
    engine(node, x, numbers.weight, sums, tally)
    tally.count(node.name, "mac", sums.size * _fan_in(node))
    tally.count(node.name, "tiles.maps.write", sums.size)
    if numbers.bias is not None:
        sums = np.add(sums, numbers.bias, out=sums if numbers.bias.dtype == sums.dtype else None)
    return _stored(node.name, sums, numbers.shift, arithmetic, tally)


def _normalised(name: str, x: Array, numbers: Numbers, arithmetic: Arithmetic, tally: Tally) -> Array:
    assert numbers.gain is not None and numbers.offset is not None and numbers.mean is not None
    if not arithmetic.bits:
        return ((x - numbers.mean) * numbers.gain + numbers.offset).astype(arithmetic.dtype)
    return _stored(name, x.astype(np.int64) * numbers.gain + numbers.offset, numbers.shift, arithmetic, tally)


def _fan_in(node: Node) -> int:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return node.sources[0][0] // op.groups * op.kernel[0] * op.kernel[1]


def _fill(node: Node, arithmetic: Arithmetic) -> float:
    """What a window sees beyond the map."""
    if node.kind != "pool" or not isinstance(node.layer.op, ops.Pool) or node.layer.op.mode == "avg":
        return 0
    return -np.inf if arithmetic.dtype.kind == "f" else int(np.iinfo(arithmetic.dtype.name).min)


def _operand(
    node: Node,
    names: tuple[str, ...],
    box: tuple[int, int, int, int],
    maps: Mapping[str, Map],
    windows: Mapping[str, Array],
    at: tuple[int, int],
    fill: float,
) -> Array:
    """What a layer's windows look at, padded where they reach over the border."""
    parts = [_region(node, box, maps[name], windows[name], at, fill) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _region(
    node: Node, box: tuple[int, int, int, int], source: Map, window: Array, at: tuple[int, int], fill: float
) -> Array:
    down, across = node.windows
    top, bottom = box[0] * down.stride - down.before, (box[1] - 1) * down.stride + down.reach - down.before
    left, right = box[2] * across.stride - across.before, (box[3] - 1) * across.stride + across.reach - across.before
    inner_top, inner_bottom = max(top, 0), min(bottom, source.rows.size)
    inner_left, inner_right = max(left, 0), min(right, source.columns.size)
    r0, c0 = source.rows.need[at[0]], source.columns.need[at[1]]
    seen = window[
        max(0, inner_top - r0) : max(0, inner_bottom - r0), max(0, inner_left - c0) : max(0, inner_right - c0)
    ]
    if (inner_top, inner_bottom, inner_left, inner_right) == (top, bottom, left, right):
        return seen
    padded = np.full((bottom - top, right - left, window.shape[2]), fill, window.dtype)
    r, c = max(0, inner_top - top), max(0, inner_left - left)
    padded[r : r + seen.shape[0], c : c + seen.shape[1]] = seen
    return padded


def _stored(name: str, sums: Array, shift: int, arithmetic: Arithmetic, tally: Tally) -> Array:
    """A sum as it is stored: as it is in floating point, else shifted, rounded and saturated."""
    if not arithmetic.bits:
        return sums
    rounded = half_up(sums, shift)
    clipped = saturate(rounded, arithmetic.bits)
    tally.clipped[name] = tally.clipped.get(name, 0) + int(np.count_nonzero(clipped != rounded))
    return clipped.astype(arithmetic.dtype)


def _pool(node: Node, op: ops.Pool, x: Array, box: tuple[int, int, int, int], arithmetic: Arithmetic) -> Array:
    rows, columns = box[1] - box[0], box[3] - box[2]
    total: Array | None = None
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            part = x[
                i : i + (rows - 1) * op.stride[0] + 1 : op.stride[0],
                j : j + (columns - 1) * op.stride[1] + 1 : op.stride[1],
            ]
            if op.mode == "max":
                total = part.copy() if total is None else np.maximum(total, part)
            else:
                total = part.astype(arithmetic.sums) if total is None else total + part
    assert total is not None
    if op.mode == "max":
        return total
    sides = [_seen(op, axis, box[2 * axis], box[2 * axis + 1], node.sources[0][axis + 1]) for axis in (0, 1)]
    counts = np.outer(*sides)[:, :, None]
    if arithmetic.bits:
        mean: Array = np.floor_divide(2 * total + counts, 2 * counts)
    else:
        mean = total / counts.astype(total.dtype if total.dtype.kind == "f" else np.float64)
    return mean.astype(arithmetic.dtype)


def _seen(op: ops.Pool, axis: int, first: int, last: int, size: int) -> Array:
    """Values that an average counts along one axis."""
    start = np.arange(first, last) * op.stride[axis] - op.padding[axis]
    end = start + op.kernel[axis]
    if not op.include_pad:
        start, limit = np.maximum(start, 0), size
    else:
        limit = size + op.padding[axis + 2]
    counted: Array = np.minimum(end, limit) - start
    return counted


def _lrn(op: ops.Lrn, x: Array, arithmetic: Arithmetic, source: float, out: float) -> Array:
    """Across neighbouring maps of one pixel; a fixed-point machine takes its power function from a table of floats."""
    values = x if not arithmetic.bits else x.astype(np.float32) * np.float32(source)
    before = (op.size - 1) // 2
    maps = x.shape[2]
    squares = np.zeros((*x.shape[:2], maps + op.size - 1), values.dtype)
    np.multiply(values, values, out=squares[:, :, before : before + maps])
    energy = squares[:, :, :maps].copy()
    for k in range(1, op.size):
        energy += squares[:, :, k : k + maps]
    scaled: Array = values / (op.k + op.alpha / op.size * energy) ** op.beta
    if not arithmetic.bits:
        return scaled.astype(arithmetic.dtype)
    return saturate(np.floor(scaled / np.float32(out) + np.float32(0.5)), arithmetic.bits).astype(arithmetic.dtype)
