"""A convolution over a whole map that adds product after product: kernel row, kernel column, input map.

That order is what float32 results mean here. Small maps take it in plain numpy. Large ones unroll their windows with
numpy and take the compiled sums of products with the roles swapped: pixels where the datapath has output maps.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from archs.fused.kernel import THREADS, dense
from archs.fused.vectors import BYTES
from workloads import ops
from workloads.tensor import Array

PLAIN_MACS = 20_000_000
"""Multiply-accumulates of one image up to which numpy takes every product on its own."""
PLAIN_VALUES = 1 << 14
"""Sums that numpy takes at a time: they stay in a core's cache."""
PIXELS = 512
"""Pixels whose windows are unrolled at a time."""


def convolve(op: ops.Conv, weight: Array, image: Array) -> Array:
    """Output (maps, rows, columns) of one image (maps, rows, columns), without bias."""
    return (plain if op.macs(image.shape) <= PLAIN_MACS else unrolled)(op, weight, image)


def plain(op: ops.Conv, weight: Array, image: Array) -> Array:
    """By numpy, one product for all pixels and output maps at a time: the definition of the order."""
    top, left, bottom, right = op.padding
    padded = np.pad(image, [(0, 0), (top, bottom), (left, right)])
    maps, rows, columns = op.output(image.shape)
    out = np.zeros((maps, rows, columns), image.dtype)
    outputs, inputs = maps // op.groups, weight.shape[1]
    band = max(1, PLAIN_VALUES // max(1, outputs * columns))
    for group in range(op.groups):
        mine = slice(group * outputs, (group + 1) * outputs)
        for first in range(0, rows, band):
            last = min(rows, first + band)
            total = np.zeros((outputs, last - first, columns), image.dtype)
            product = np.empty_like(total)
            for i, j in np.ndindex(*op.kernel):
                down, right_ = i * op.dilation[0] + first * op.stride[0], j * op.dilation[1]
                seen = padded[
                    group * inputs : (group + 1) * inputs,
                    down : down + (last - first - 1) * op.stride[0] + 1 : op.stride[0],
                    right_ : right_ + (columns - 1) * op.stride[1] + 1 : op.stride[1],
                ]
                for n in range(inputs):
                    np.multiply(weight[mine, n, i, j][:, None, None], seen[n], out=product)
                    np.add(total, product, out=total)
            out[mine, first:last] = total
    return out


def unrolled(op: ops.Conv, weight: Array, image: Array) -> Array:
    """By compiled sums over unrolled windows, a band of rows at a time."""
    top, left, bottom, right = op.padding
    padded = np.pad(image, [(0, 0), (top, bottom), (left, right)])
    windows = sliding_window_view(padded, ops.reach(op.kernel, op.dilation), axis=(1, 2))
    windows = windows[:, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    (maps, rows, columns), inputs = op.output(image.shape), weight.shape[1]
    out = np.empty((op.groups, maps // op.groups, rows, columns), image.dtype)
    matrices = np.ascontiguousarray(weight).reshape(op.groups, maps // op.groups, -1)
    order = np.arange(matrices.shape[2]).reshape(inputs, -1).T.ravel()
    band = max(1, PIXELS // columns)

    def compute(group: int, first: int) -> None:
        seen = windows[group * inputs : (group + 1) * inputs, first : first + band]
        out[group, :, first : first + band] = _band(matrices[group], order, seen.transpose(3, 4, 0, 1, 2))

    parts = [(group, first) for group in range(op.groups) for first in range(0, rows, band)]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(compute, *zip(*parts, strict=True)))
    return out.reshape(maps, rows, columns)


def _band(matrix: Array, order: Array, seen: Array) -> Array:
    """matrix [maps, products], taken in `order`, times `seen` [kernel row, column, input, row, column]."""
    maps, products = matrix.shape
    rows, columns = seen.shape[3:]
    lanes = BYTES // seen.itemsize
    unrolled = np.empty((products, -(-rows * columns // lanes) * lanes), seen.dtype)
    unrolled[:, : rows * columns].reshape(seen.shape)[...] = seen
    unrolled[:, rows * columns :] = 0
    total = np.zeros((maps, unrolled.shape[1]), seen.dtype)
    dense(matrix.reshape(-1), np.arange(maps) * products, order, unrolled, total, 0)
    return total[:, : rows * columns].reshape(maps, rows, columns)
