"""The convolution of one tile as the hardware's loops have it, one access at a time: the witness of the counts.

For a block of Tm output maps: kernel row, kernel column, block of Tn input maps, pixel. A block's weights are read once
and held over the pixels; every cycle reads Tn values and reads and writes Tm sums. For small layers.
"""

from collections.abc import Mapping

import numpy as np

from archs.fused.datapath import Convolve, Tally
from archs.fused.stack import Node
from archs.fused.unroll import Unroll
from workloads import ops
from workloads.tensor import Array


def counting(unrolls: Mapping[str, Unroll]) -> Convolve:
    """A convolution that counts what it reads and writes, for these unrolls."""

    def convolve(node: Node, x: Array, weight: Array, sums: Array, tally: Tally) -> None:
        if weight.ndim == 3 or (len(weight) > 1 and weight.shape[3] == 1):
            flat = weight if weight.ndim == 3 else np.moveaxis(weight[:, :, :, 0], 0, 2).reshape(*weight.shape[1:3], -1)
            _depthwise(node, unrolls[node.name][0], x, flat, sums, tally)
            return
        for group in range(weight.shape[0]):
            _group(node, unrolls[node.name], group, x, weight[group], sums, tally)

    return convolve


def _group(node: Node, unroll: Unroll, group: int, x: Array, weight: Array, sums: Array, tally: Tally) -> None:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    (tm, tn), (inputs, outputs) = unroll, weight.shape[2:]
    for m in range(0, outputs, tm):
        block = slice(group * outputs + m, group * outputs + min(m + tm, outputs))
        for i, j in np.ndindex(*op.kernel):
            for n in range(0, inputs, tn):
                held = weight[i, j, n : n + tn, m : m + tm]
                tally.count(node.name, "weights.values.read", held.size)
                for r, c in np.ndindex(*sums.shape[:2]):
                    values = _looked(op, x, r, c, i, j)[group * inputs + n : group * inputs + min(n + tn, inputs)]
                    total = sums[r, c, block]
                    tally.count(node.name, "tiles.maps.read", values.size)
                    tally.count(node.name, "tiles.sums.read", total.size)
                    for value, line in zip(values, held, strict=True):
                        total = total + value * line
                    sums[r, c, block] = total
                    tally.count(node.name, "tiles.sums.write", total.size)


def _depthwise(node: Node, tm: int, x: Array, weight: Array, sums: Array, tally: Tally) -> None:
    """One input map a group: a block takes the map of every group that it has outputs of; weights `[kh, kw, outputs]`."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    group = np.arange(op.outputs) // (op.outputs // op.groups)
    for m in range(0, sums.shape[2], tm):
        mine = group[m : m + tm]
        for i, j in np.ndindex(*op.kernel):
            held = weight[i, j, m : m + tm]
            tally.count(node.name, "weights.values.read", held.size)
            for r, c in np.ndindex(*sums.shape[:2]):
                values, total = _looked(op, x, r, c, i, j)[mine], sums[r, c, m : m + tm]
                tally.count(node.name, "tiles.maps.read", len(set(mine.tolist())))
                tally.count(node.name, "tiles.sums.read", total.size)
                sums[r, c, m : m + tm] = total + values * held
                tally.count(node.name, "tiles.sums.write", total.size)


def _looked(op: ops.Conv, x: Array, r: int, c: int, i: int, j: int) -> Array:
    """All maps at one kernel position of one output pixel."""
    values: Array = x[r * op.stride[0] + i * op.dilation[0], c * op.stride[1] + j * op.dilation[1]]
    return values
